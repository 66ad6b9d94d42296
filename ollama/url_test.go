package ollama_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/ollama"
)

func TestURL(t *testing.T) {
	for text, want := range map[string]string{
		"":                            "http://127.0.0.1:11434",
		"  ":                          "http://127.0.0.1:11434",
		"gpu":                         "http://gpu:11434",
		"gpu:1234":                    "http://gpu:1234",
		":1234":                       "http://127.0.0.1:1234",
		"10.1.2.3":                    "http://10.1.2.3:11434",
		"0.0.0.0":                     "http://127.0.0.1:11434",
		"0.0.0.0:1234":                "http://127.0.0.1:1234",
		"http://0.0.0.0:1234":         "http://127.0.0.1:1234",
		"http://gpu":                  "http://gpu:80",
		"https://gpu":                 "https://gpu:443",
		"HTTPS://gpu/":                "https://gpu:443",
		"https://gpu:8443/ollama/":    "https://gpu:8443/ollama",
		"gpu/ollama":                  "http://gpu:11434/ollama",
		"::1":                         "http://[::1]:11434",
		"[::1]":                       "http://[::1]:11434",
		"[::1]:1234":                  "http://[::1]:1234",
		"::":                          "http://[::1]:11434",
		"[::]:1234":                   "http://[::1]:1234",
		"fd00::7/ollama":              "http://[fd00::7]:11434/ollama",
		"http://127.0.0.1:11434":      "http://127.0.0.1:11434",
		"http://models.internal:8080": "http://models.internal:8080",
	} {
		got, err := ollama.ParseURL(text)
		require.NoError(t, err, "%q", text)
		require.Equal(t, want, got, "%q", text)
	}
	for _, text := range []string{
		"ftp://gpu", "http://user:secret@gpu", "user:secret@gpu", "gpu:port", "gpu:0", "gpu:65536", "gpu:-1",
		"http://gpu?x=1", "http://gpu#x", "http://gpu?", "a b", "http://[::1", "%zz",
	} {
		_, err := ollama.New(&ollama.Options{URL: text})
		require.Error(t, err, "%q", text)
		require.NotContains(t, err.Error(), "secret")
	}
}
