// Submit gives a job to a Foreman in the same program and waits for its result.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strings"

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

	// The backend is what is slow. This one is not, but it could be.
	shout := foreman.BackendFunc(func(_ context.Context, t *foreman.Task) error {
		var text string
		if err := json.Unmarshal(t.Spec.Input, &text); err != nil {
			return foreman.Permanent(err) // trying again would not help
		}
		return t.SetResult(strings.ToUpper(text))
	})
	f, err := foreman.New(shout, &foreman.Options{Dir: dir})
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { _ = f.Run(ctx) }()

	job, err := f.Submit(ctx, foreman.Spec{Model: "shout", Input: json.RawMessage(`"hello"`)})
	if err != nil {
		return err
	}
	// The job is on disk now: a crash from here on loses nothing.
	for event, err := range f.Watch(ctx, job.ID, 0) {
		if err != nil {
			return err
		}
		fmt.Println(event.State)
	}
	job, err = f.Status(ctx, job.ID)
	if err != nil {
		return err
	}
	fmt.Println(string(job.Result))
	return nil
}
