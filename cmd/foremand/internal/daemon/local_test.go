package daemon

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLocalOnly(t *testing.T) {
	h := localOnly(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	const get, post = http.MethodGet, http.MethodPost
	tests := []struct {
		name, method, host string
		header             http.Header
		refused            string // the type of the problem
	}{
		{name: "localhost", method: post, host: "localhost:8470"},
		{name: "in capitals, without a port", method: post, host: "LocalHost"},
		{name: "IPv4", method: post, host: "127.0.0.1:8470"},
		{name: "IPv4 elsewhere on loopback", method: get, host: "127.1.2.3"},
		{name: "IPv6", method: get, host: "[::1]:8470"},
		{name: "IPv6 without a port", method: get, host: "[::1]"},
		{name: "name that was made to resolve to this machine", method: get, host: "rebound.example.com:8470", refused: "foreign_host"},
		{name: "name that begins like an address", method: get, host: "127.0.0.1.example.com", refused: "foreign_host"},
		{name: "name that begins like localhost", method: get, host: "localhost.example.com", refused: "foreign_host"},
		{name: "another address", method: get, host: "192.0.2.1:8470", refused: "foreign_host"},
		{name: "every address", method: get, host: "0.0.0.0:8470", refused: "foreign_host"},
		{name: "no host", method: get, host: "", refused: "foreign_host"},
		{name: "page of this server", method: post, host: "localhost:8470", header: http.Header{"Origin": {"http://localhost:8470"}, "Sec-Fetch-Site": {"same-origin"}}},
		{name: "page from elsewhere", method: post, host: "localhost:8470", header: http.Header{"Origin": {"https://example.com"}, "Sec-Fetch-Site": {"cross-site"}}, refused: "cross_origin"},
		{name: "page of another server here", method: post, host: "localhost:8470", header: http.Header{"Origin": {"http://localhost:3000"}, "Sec-Fetch-Site": {"same-site"}}, refused: "cross_origin"},
		{name: "page in an old browser", method: post, host: "localhost:8470", header: http.Header{"Origin": {"https://example.com"}}, refused: "cross_origin"},
		{name: "link on a page from elsewhere", method: get, host: "localhost:8470", header: http.Header{"Sec-Fetch-Site": {"cross-site"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(tt.method, "/jobs", nil)
			r.Host = tt.host
			for name, values := range tt.header {
				r.Header[name] = values
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if tt.refused == "" {
				require.Equal(t, http.StatusTeapot, w.Code)
				return
			}
			require.Equal(t, http.StatusForbidden, w.Code)
			require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
			require.Contains(t, w.Body.String(), `"type":"`+tt.refused+`"`)
		})
	}
}
