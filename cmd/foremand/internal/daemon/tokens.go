package daemon

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/foreman-go/foreman"
)

const (
	leastToken = 16 // characters
	mostToken  = 512
	mostName   = 128 // bytes, as an owner of jobs can have
)

// tokensHowTo says how to make a tokens file, with tokens that nobody has used yet.
func tokensHowTo() string {
	return fmt.Sprintf("name a file of lines such as these with -tokens-file, and keep it readable for yourself only:\nalice   %s\nbackup  %s admin", rand.Text(), rand.Text())
}

// token is what one caller shows. The text of it is not kept.
type token struct {
	sum    [sha256.Size]byte
	caller foreman.Caller
	line   int
}

// tokens are who may use the server, by what they show.
type tokens []token

// loadTokens reads a tokens file: one caller a line, as its name and its token, and
// the word admin for one who may see and change the jobs of all. Empty lines and
// lines that begin with # do not count. Errors name the line and quote nothing of it.
func loadTokens(path string, log *slog.Logger) (tokens, error) {
	f, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("tokens file: %w", err)
	}
	if f.Mode().Perm()&0o004 != 0 {
		log.Warn("everybody on this machine can read the tokens; chmod 600 the file", "file", path)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("tokens file: %w", err)
	}
	ts, err := parseTokens(string(data))
	if err != nil {
		return nil, fmt.Errorf("tokens file %s: %w", path, err)
	}
	return ts, nil
}

func parseTokens(text string) (tokens, error) {
	var ts tokens
	n := 0
	for line := range strings.Lines(text) {
		n++
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		t, err := parseToken(words)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		t.line = n
		for _, o := range ts {
			if o.caller.Owner == t.caller.Owner {
				return nil, fmt.Errorf("line %d: the name is that of line %d; each caller has one of its own", n, o.line)
			}
			if o.sum == t.sum {
				return nil, fmt.Errorf("line %d: the token is that of line %d; each caller has one of its own", n, o.line)
			}
		}
		ts = append(ts, t)
	}
	if len(ts) == 0 {
		return nil, errors.New("it has no tokens; give each caller a line such as `alice 7c0e4d...`")
	}
	return ts, nil
}

func parseToken(words []string) (token, error) {
	var t token
	switch {
	case len(words) < 2 || len(words) > 3:
		return t, errors.New("it must be a name and a token, or a name, a token and the word admin")
	case len(words) == 3 && words[2] != "admin":
		return t, errors.New("the third word can only be admin")
	case len(words[0]) > mostName || !utf8.ValidString(words[0]) || strings.ContainsFunc(words[0], unprintable):
		return t, fmt.Errorf("the name must be printable text of at most %d bytes", mostName)
	case len(words[1]) < leastToken || len(words[1]) > mostToken:
		return t, fmt.Errorf("the token must have %d to %d characters; `openssl rand -hex 24` prints a good one", leastToken, mostToken)
	case strings.ContainsFunc(words[1], notInToken):
		return t, errors.New("the token must be of letters, digits and -._~+/= to be sent in a header (RFC 6750)")
	}
	t.sum = sha256.Sum256([]byte(words[1]))
	t.caller = foreman.Caller{Owner: words[0], Admin: len(words) == 3}
	return t, nil
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

func notInToken(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-._~+/=", r)
}

// caller is who makes a request, by its header Authorization (RFC 6750, section 2.1).
// How long the answer takes does not tell how much of a token was right.
func (ts tokens) caller(h http.Header) (c foreman.Caller, ok bool) {
	scheme, shown, _ := strings.Cut(h.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return c, false
	}
	sum := sha256.Sum256([]byte(strings.TrimSpace(shown)))
	for _, t := range ts {
		if subtle.ConstantTimeCompare(sum[:], t.sum[:]) == 1 {
			c, ok = t.caller, true
		}
	}
	return c, ok
}

// guard lets in who shows a token, as the caller that it stands for. The header goes
// no further: it is for nobody behind this server.
func (ts tokens) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, ok := ts.caller(r.Header)
		if !ok {
			w.Header().Set("WWW-Authenticate", "Bearer")
			sendProblem(w, http.StatusUnauthorized, "unauthorized", "Unauthorized",
				"send the header Authorization: Bearer with a token from the tokens file of this server")
			return
		}
		r = r.Clone(foreman.WithCaller(r.Context(), c))
		r.Header.Del("Authorization")
		next.ServeHTTP(w, r)
	})
}
