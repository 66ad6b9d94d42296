// Backend is a backend of its own: it reports progress, streams output, writes an
// artifact, and says which of its errors can be mended by trying again.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"time"

	"github.com/foreman-go/foreman"
)

// renderer renders pages, slowly.
type renderer struct{}

// Run is called once for each attempt, from as many goroutines as jobs run at once.
func (renderer) Run(ctx context.Context, t *foreman.Task) error {
	var in struct{ Pages int }
	if err := json.Unmarshal(t.Spec.Input, &in); err != nil || in.Pages < 1 {
		return foreman.Permanent(errors.New("input must have a number of pages")) // never tried again
	}
	if t.Attempt == 1 {
		return foreman.RetryAfter(errors.New("the renderer is still warming up"), time.Millisecond)
	}
	var out strings.Builder
	for page := 1; page <= in.Pages; page++ {
		if ctx.Err() != nil {
			return context.Cause(ctx) // canceled, too slow, or the program is about to end
		}
		fmt.Fprintf(&out, "page %d\n", page)
		fmt.Fprintf(t, "rendered page %d\n", page) // to whoever watches
		t.Progress(float64(page)/float64(in.Pages), fmt.Sprintf("page %d of %d", page, in.Pages))
	}
	info, err := t.Artifact("book.txt", "text/plain; charset=utf-8", strings.NewReader(out.String()))
	if err != nil {
		return err
	}
	return t.SetResult(map[string]any{"pages": in.Pages, "bytes": info.Size})
}

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
	f, err := foreman.New(renderer{}, &foreman.Options{Dir: dir, RetryDelay: time.Millisecond})
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { _ = f.Run(ctx) }()

	job, err := f.Submit(ctx, foreman.Spec{Model: "book", Input: json.RawMessage(`{"pages": 3}`)})
	if err != nil {
		return err
	}
	for _, err := range f.Watch(ctx, job.ID, 0) {
		if err != nil {
			return err
		}
	}
	job, err = f.Status(ctx, job.ID)
	if err != nil {
		return err
	}
	fmt.Println(job.State, "in attempt", job.Attempt, string(job.Result))
	r, artifact, err := f.OpenArtifact(ctx, job.ID, "book.txt")
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	fmt.Println(artifact.Name, artifact.ContentType)
	fmt.Print(string(data))
	return nil
}
