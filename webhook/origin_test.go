package webhook_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/webhook"
)

func TestOrigin(t *testing.T) {
	for want, urls := range map[string][]string{
		"https://example.com:443": {
			"https://example.com", "https://example.com/", "https://example.com/hook?a=b", "https://EXAMPLE.com:443",
			"HTTPS://example.com.", "https://example.com.:443/x",
		},
		"http://example.com:80":         {"http://example.com", "http://example.com:80/"},
		"https://example.com:8443":      {"https://example.com:8443", "https://Example.Com:8443/a"},
		"http://192.0.2.1:8080":         {"http://192.0.2.1:8080", "http://[::ffff:192.0.2.1]:8080", "http://[::ffff:c000:201]:8080/"},
		"http://[2001:db8::1]:80":       {"http://[2001:db8::1]/", "http://[2001:0db8:0:0:0:0:0:1]:80"},
		"gopher://example.com/as it is": {"gopher://example.com/as it is"},
	} {
		for _, u := range urls {
			require.Equal(t, want, webhook.Origin(u), u)
		}
	}
}
