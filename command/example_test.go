//go:build unix

package command_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/command"
)

// A job is one run of printf, whose output is the result.
func Example() {
	dir, err := os.MkdirTemp("", "foreman")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	backend, err := command.New(&command.Options{
		Path:   "printf",
		Args:   []string{"%s and %s", "{{.Input.first}}", "{{.Input.second.0}}"},
		Output: command.Output{Result: true},
	})
	if err != nil {
		log.Fatal(err)
	}
	f, err := foreman.New(backend, &foreman.Options{Dir: dir})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- f.Run(ctx) }()

	job, err := f.Submit(ctx, foreman.Spec{
		Model: "printf",
		Input: json.RawMessage(`{"first": "one argument; $(id)", "second": ["two"]}`),
	})
	if err != nil {
		log.Fatal(err)
	}
	for event, err := range f.Watch(ctx, job.ID, 0) {
		if err != nil {
			log.Fatal(err)
		}
		if event.Type == foreman.StateEvent {
			fmt.Println(event.State)
		}
	}
	if job, err = f.Status(ctx, job.ID); err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(job.Result))

	cancel()
	if err := <-ran; err != nil {
		log.Fatal(err)
	}
	if err := f.Close(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// queued
	// working
	// done
	// "one argument; $(id) and two"
}
