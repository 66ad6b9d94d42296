// Command runs a program for each job: sort, on the words that a job has, with the
// order and the column that it asks for.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/command"
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

	sorter, err := command.New(&command.Options{
		Path:    "sort",
		Args:    []string{"-k{{.Input.column}}", "-"}, // no shell: each is one argument
		Env:     []string{"LC_ALL=C"},                 // besides PATH, HOME and a few more
		Stdin:   "{{.Input.text}}",                    // in place of the whole input
		Output:  command.Output{Artifact: "sorted.txt", ContentType: "text/plain; charset=utf-8"},
		Timeout: time.Minute,
	})
	if err != nil {
		return err // such as: sort is not installed
	}
	f, err := foreman.New(sorter, &foreman.Options{Dir: dir})
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- f.Run(ctx) }()
	err = sortAll(ctx, f)
	cancel()
	return errors.Join(err, <-ran)
}

func sortAll(ctx context.Context, f *foreman.Foreman) error {
	for _, input := range []string{
		`{"column": 2, "text": "1 pear\n2 apple\n3 fig\n"}`,
		`{"text": "b\na\n"}`,
		`{"column": "2 --output=/etc/passwd", "text": "b\na\n"}`,
	} {
		job, err := f.Submit(ctx, foreman.Spec{Model: "sort", Input: json.RawMessage(input), MaxAttempts: 1})
		if err != nil {
			return err
		}
		for _, err := range f.Watch(ctx, job.ID, 0) {
			if err != nil {
				return err
			}
		}
		if job, err = f.Status(ctx, job.ID); err != nil {
			return err
		}
		if job.State == foreman.Done {
			if err := show(ctx, f, job); err != nil {
				return err
			}
			continue
		}
		fmt.Println(job.State, job.Error.Type)
		if job.Error.Type == foreman.BackendRejected {
			fmt.Println(job.Error.Message)
		}
	}
	return nil
}

func show(ctx context.Context, f *foreman.Foreman, job *foreman.Job) error {
	r, artifact, err := f.OpenArtifact(ctx, job.ID, "sorted.txt")
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	fmt.Println(job.State, artifact.Name)
	_, err = io.Copy(os.Stdout, r)
	return err
}
