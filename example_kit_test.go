package foreman_test

import (
	"context"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/foreman-go/foreman"
)

// running is a Foreman that runs in a directory of its own until end is called.
func running(b foreman.Backend) (f *foreman.Foreman, ctx context.Context, end func()) {
	dir, err := os.MkdirTemp("", "foreman-")
	if err != nil {
		log.Fatal(err)
	}
	f, err = foreman.New(b, &foreman.Options{Dir: dir, Logger: quiet})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan struct{})
	go func() {
		defer close(ran)
		_ = f.Run(ctx)
	}()
	return f, ctx, func() {
		cancel()
		<-ran
		_ = f.Close()
		_ = os.RemoveAll(dir)
	}
}

// answer asks a handler as a user.
func answer(h http.Handler, method, path, user string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(`{"model": "demo", "input": 1}`))
	r.Header.Set("X-User", user)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}
