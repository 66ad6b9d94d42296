package foreman_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"

	"github.com/foreman-go/foreman"
)

// Submit a job and wait for its result. A job is on disk when Submit returns.
func Example() {
	dir, err := os.MkdirTemp("", "foreman-")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()

	// The backend is what is slow.
	shout := foreman.BackendFunc(func(_ context.Context, t *foreman.Task) error {
		var text string
		if err := json.Unmarshal(t.Spec.Input, &text); err != nil {
			return foreman.Permanent(err) // trying again would not help
		}
		return t.SetResult(strings.ToUpper(text))
	})
	f, err := foreman.New(shout, &foreman.Options{Dir: dir})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { _ = f.Run(ctx) }()

	job, err := f.Submit(ctx, foreman.Spec{Model: "shout", Input: json.RawMessage(`"hello"`)})
	if err != nil {
		log.Fatal(err)
	}
	for event, err := range f.Watch(ctx, job.ID, 0) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(event.State)
	}
	job, err = f.Status(ctx, job.ID)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(job.Result))
	// Output:
	// queued
	// working
	// done
	// "HELLO"
}

// A backend that reports progress, writes an artifact, and says which of its errors
// another attempt can mend.
func ExampleBackend() {
	render := foreman.BackendFunc(func(ctx context.Context, t *foreman.Task) error {
		var in struct{ Pages int }
		if err := json.Unmarshal(t.Spec.Input, &in); err != nil || in.Pages < 1 {
			return foreman.Permanent(errors.New("input must have a number of pages"))
		}
		var book strings.Builder
		for page := 1; page <= in.Pages; page++ {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			fmt.Fprintf(&book, "page %d\n", page)
			t.Progress(float64(page)/float64(in.Pages), fmt.Sprintf("page %d", page))
		}
		info, err := t.Artifact("book.txt", "text/plain", strings.NewReader(book.String()))
		if err != nil {
			return err
		}
		return t.SetResult(map[string]int64{"bytes": info.Size})
	})
	f, ctx, end := running(render)
	defer end()

	job, err := f.Submit(ctx, foreman.Spec{Model: "book", Input: json.RawMessage(`{"pages": 2}`)})
	if err != nil {
		log.Fatal(err)
	}
	for _, err := range f.Watch(ctx, job.ID, 0) {
		if err != nil {
			log.Fatal(err)
		}
	}
	r, artifact, err := f.OpenArtifact(ctx, job.ID, "book.txt")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	data, err := io.ReadAll(r)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(artifact.Name, artifact.Size)
	fmt.Print(string(data))
	// Output:
	// book.txt 14
	// page 1
	// page 2
}

// A program with its own authentication keeps callers apart.
func ExampleWithCaller() {
	f, _, end := running(foreman.BackendFunc(func(context.Context, *foreman.Task) error { return nil }))
	defer end()
	mux := http.NewServeMux()
	mux.Handle("/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user := r.Header.Get("X-User") // from your own authentication
		ctx := foreman.WithCaller(r.Context(), foreman.Caller{Owner: user})
		f.Handler().ServeHTTP(w, r.WithContext(ctx))
	}))
	created := answer(mux, http.MethodPost, "/jobs", "ann")
	fmt.Println(created.Code)
	fmt.Println(answer(mux, http.MethodGet, created.Header().Get("Location"), "ann").Code)
	fmt.Println(answer(mux, http.MethodGet, created.Header().Get("Location"), "ben").Code)
	// Output:
	// 202
	// 200
	// 404
}
