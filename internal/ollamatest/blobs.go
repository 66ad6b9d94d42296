package ollamatest

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
)

// blobs are the digests of the blobs that there are.
type blobs struct {
	mu  sync.Mutex
	has map[string]bool
}

func (b *blobs) get(digest string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.has[digest]
}

func (b *blobs) add(digest string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.has == nil {
		b.has = map[string]bool{}
	}
	b.has[digest] = true
}

// blob tells whether there is a blob, or takes one. One that is there already is not
// read again: a client that sends much sees its connection reset.
func (s *Server) blob(w http.ResponseWriter, r *http.Request, _ Request) {
	digest := strings.TrimPrefix(r.URL.Path, "/api/blobs/")
	switch {
	case !regexp.MustCompile("^sha256[-:][0-9a-fA-F]{64}$").MatchString(digest):
		fail(w, http.StatusBadRequest, "invalid digest format")
	case s.blobs.get(digest):
		w.WriteHeader(http.StatusOK)
	case r.Method == http.MethodHead:
		fail(w, http.StatusNotFound, "blob %q not found", digest)
	default:
		sum := sha256.New()
		if _, err := io.Copy(sum, r.Body); err != nil {
			panic(http.ErrAbortHandler)
		}
		if got := "sha256:" + hex.EncodeToString(sum.Sum(nil)); got != strings.Replace(digest, "-", ":", 1) {
			fail(w, http.StatusBadRequest, "digest mismatch, expected %q, got %q", digest, got)
			return
		}
		s.blobs.add(digest)
		w.WriteHeader(http.StatusCreated)
	}
}
