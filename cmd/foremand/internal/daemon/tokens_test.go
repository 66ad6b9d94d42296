package daemon

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
)

const (
	aliceToken = "alice-token-0123456789"
	adminToken = "root+token/0123456789=="
)

func TestParseTokens(t *testing.T) {
	ts, err := parseTokens("# who may use it\r\n\nalice " + aliceToken + "\r\n  root\t" + adminToken + "  admin\n#bob " + aliceToken)
	require.NoError(t, err)
	require.Len(t, ts, 2)
	require.Equal(t, foreman.Caller{Owner: "alice"}, ts[0].caller)
	require.Equal(t, foreman.Caller{Owner: "root", Admin: true}, ts[1].caller)
}

func TestParseTokensErrors(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"empty", "\n# nobody\n", "no tokens"},
		{"name alone", "alice\n", "line 1: it must be a name and a token"},
		{"four words", "alice " + aliceToken + " admin too", "line 1: it must be"},
		{"another third word", "\nalice " + aliceToken + " Admin", "line 2: the third word can only be admin"},
		{"short token", "alice 0123456789abcde", "line 1: the token must have 16 to 512 characters"},
		{"long token", "alice " + strings.Repeat("x", 513), "line 1: the token must have"},
		{"token that is no header", "alice 0123456789abcdef\u00e9", "line 1: the token must be of letters"},
		{"long name", strings.Repeat("x", 129) + " " + aliceToken, "line 1: the name must be"},
		{"invisible name", "al\u200bice " + aliceToken, "line 1: the name must be"},
		{"name twice", "alice " + aliceToken + "\n\nalice another-0123456789", "line 3: the name is that of line 1"},
		{"token twice", "alice " + aliceToken + "\nbob " + aliceToken, "line 2: the token is that of line 1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parseTokens(tt.text)
			require.ErrorContains(t, err, tt.want)
			require.NotContains(t, err.Error(), "0123456789")
		})
	}
}

func FuzzParseTokens(f *testing.F) {
	f.Add("alice " + aliceToken + "\nroot " + adminToken + " admin\n")
	f.Add("# nobody\r\n\r\n")
	f.Add("alice\talice-token-\xff0123456789")
	f.Fuzz(func(t *testing.T, text string) {
		ts, err := parseTokens(text)
		if err != nil {
			require.Empty(t, ts)
			return
		}
		require.NotEmpty(t, ts)
		for line := range strings.Lines(text) { // each token that was read lets its owner in
			words := strings.Fields(line)
			if len(words) == 0 || words[0][0] == '#' {
				continue
			}
			c, ok := ts.caller(http.Header{"Authorization": {"Bearer " + words[1]}})
			require.True(t, ok)
			require.Equal(t, foreman.Caller{Owner: words[0], Admin: len(words) == 3}, c)
		}
	})
}

func TestLoadTokens(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	require.NoError(t, os.WriteFile(path, []byte("alice "+aliceToken), 0o600))
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	ts, err := loadTokens(path, logger)
	require.NoError(t, err)
	require.Len(t, ts, 1)
	require.Empty(t, log.String())

	require.NoError(t, os.Chmod(path, 0o644))
	_, err = loadTokens(path, logger)
	require.NoError(t, err)
	require.Contains(t, log.String(), "everybody on this machine can read the tokens")

	_, err = loadTokens(path+".not", logger)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, os.WriteFile(path, []byte("alice"), 0o600))
	_, err = loadTokens(path, logger)
	require.ErrorContains(t, err, path+": line 1")
}

func TestGuard(t *testing.T) {
	ts, err := parseTokens("alice " + aliceToken + "\nroot " + adminToken + " admin")
	require.NoError(t, err)
	var passed *http.Request
	h := ts.guard(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { passed = r }))
	tests := []struct {
		name, header string
		status       int
	}{
		{"token", "Bearer " + aliceToken, http.StatusOK},
		{"scheme in another case, more blanks", "bEARER   " + adminToken + " ", http.StatusOK},
		{"nothing", "", http.StatusUnauthorized},
		{"scheme alone", "Bearer", http.StatusUnauthorized},
		{"token alone", aliceToken, http.StatusUnauthorized},
		{"another scheme", "Basic " + aliceToken, http.StatusUnauthorized},
		{"beginning of a token", "Bearer " + aliceToken[:20], http.StatusUnauthorized},
		{"more than a token", "Bearer " + aliceToken + "0", http.StatusUnauthorized},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			passed = nil
			r := httptest.NewRequest(http.MethodGet, "/jobs", nil)
			if tt.header != "" {
				r.Header.Set("Authorization", tt.header)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			require.Equal(t, tt.status, w.Code)
			if tt.status == http.StatusOK {
				require.NotNil(t, passed)
				require.Empty(t, passed.Header.Get("Authorization"), "nobody behind is told")
				return
			}
			require.Nil(t, passed)
			require.Equal(t, "Bearer", w.Header().Get("WWW-Authenticate"))
			require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
			require.JSONEq(t, `{"type":"unauthorized","title":"Unauthorized","status":401,
				"detail":"send the header Authorization: Bearer with a token from the tokens file of this server",
				"error":"send the header Authorization: Bearer with a token from the tokens file of this server"}`, w.Body.String())
		})
	}
}
