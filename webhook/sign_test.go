package webhook_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/webhook"
)

// The example in GitHub's documentation of X-Hub-Signature-256.
const (
	githubSecret    = "It's a Secret to Everybody"
	githubBody      = "Hello, World!"
	githubHex       = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
	githubSignature = "sha256=" + githubHex
)

func TestSign(t *testing.T) {
	require.Equal(t, githubSignature, webhook.Sign([]byte(githubBody), githubSecret))
	// RFC 4231, test case 2.
	require.Equal(t, "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
		webhook.Sign([]byte("what do ya want for nothing?"), "Jefe"))
}

func TestVerifySignature(t *testing.T) {
	verify := func(signature string) bool {
		return webhook.VerifySignature([]byte(githubBody), signature, githubSecret)
	}
	require.True(t, verify(githubSignature))
	require.True(t, verify("sha256="+strings.ToUpper(githubHex)), "hex digits have no case")

	for name, signature := range map[string]string{
		"empty":                   "",
		"prefix only":             "sha256=",
		"no prefix":               githubHex,
		"other hash":              "sha1=" + githubHex,
		"upper-case prefix":       "SHA256=" + githubHex,
		"space before":            " " + githubSignature,
		"space after":             githubSignature + " ",
		"line break after":        githubSignature + "\n",
		"prefix twice":            "sha256=" + githubSignature,
		"two signatures":          githubSignature + "," + githubSignature,
		"one digit short":         githubSignature[:len(githubSignature)-1],
		"two digits short":        githubSignature[:len(githubSignature)-2],
		"two digits more":         githubSignature + "00",
		"not hex":                 "sha256=" + strings.Repeat("z", 64),
		"first digit wrong":       "sha256=0" + githubHex[1:],
		"last digit wrong":        githubSignature[:len(githubSignature)-1] + "8",
		"of another body":         webhook.Sign([]byte(githubBody+" "), githubSecret),
		"with another secret":     webhook.Sign([]byte(githubBody), githubSecret+" "),
		"with the secret \"\"":    webhook.Sign([]byte(githubBody), ""),
		"all zeros":               "sha256=" + strings.Repeat("0", 64),
		"Standard Webhooks, hex":  "v1," + githubHex,
		"full-width digit at end": githubSignature[:len(githubSignature)-3] + "７",
	} {
		t.Run(name, func(t *testing.T) { require.False(t, verify(signature)) })
	}
}

func TestVerifySignatureWithoutSecret(t *testing.T) {
	body := []byte(githubBody)
	require.False(t, webhook.VerifySignature(body, webhook.Sign(body, ""), ""))
}

func FuzzVerifySignature(f *testing.F) {
	f.Add([]byte(githubBody), githubSignature, githubSecret)
	f.Add([]byte(githubBody), "sha256="+strings.ToUpper(githubHex), githubSecret)
	f.Add([]byte(githubBody), githubSignature+"\n", githubSecret)
	f.Add([]byte(""), "sha256=", "")
	f.Add([]byte(""), webhook.Sign(nil, ""), "")
	f.Add([]byte("\xff"), "sha256=zz", "whsec_AAAA")
	f.Fuzz(func(t *testing.T, body []byte, signature, secret string) {
		right := webhook.Sign(body, secret)
		require.Equal(t, secret != "", webhook.VerifySignature(body, right, secret))

		digits, ok := strings.CutPrefix(signature, "sha256=")
		want := ok && secret != "" && len(digits) == 64 && strings.ToLower(digits) == right[len("sha256="):]
		require.Equal(t, want, webhook.VerifySignature(body, signature, secret))
	})
}
