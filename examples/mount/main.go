// Mount serves jobs under a prefix of a program's own mux, beside its other paths.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/foreman-go/foreman"
)

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	dir, err := os.MkdirTemp("", "foreman-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	f, err := foreman.New(foreman.BackendFunc(work), &foreman.Options{Dir: dir})
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { _ = f.Run(ctx) }()

	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "my own pages") })
	mux.Handle("/api/v1/", http.StripPrefix("/api/v1", f.Handler()))

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	defer func() { _ = srv.Close() }()
	go func() { _ = srv.Serve(listener) }()
	return call(ctx, "http://"+listener.Addr().String())
}

func work(_ context.Context, t *foreman.Task) error {
	return t.SetResult(map[string]string{"model": t.Spec.Model})
}

// call is a client of the mounted handler. Every link in an answer has the prefix.
func call(ctx context.Context, base string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/api/v1/jobs",
		strings.NewReader(`{"model": "demo", "input": {"any": "JSON"}}`))
	if err != nil {
		return err
	}
	req.Header.Set("Prefer", "wait=10")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	fmt.Println(res.Status)
	fmt.Println("finished:", strings.Contains(string(body), `"state":"done"`))
	fmt.Println("links with the prefix:", strings.HasPrefix(res.Header.Get("Location"), "/api/v1/jobs/"))
	return nil
}
