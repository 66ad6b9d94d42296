// Postgres runs two Foremans on one queue in PostgreSQL, with artifacts in a directory
// that both can see. They stand for two programs on two machines: a job is submitted to
// one, run by whichever is first, and watched at the other.
//
//	go run ./examples/postgres -db 'postgres://user@localhost/db?sslmode=disable'
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"strings"

	_ "gocloud.dev/blob/fileblob" // file:// URLs; s3blob, gcsblob and azureblob are for others

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/artifact/blobstore"
	"github.com/foreman-go/foreman/store/postgres"
)

func main() {
	db := flag.String("db", "", "URL of a PostgreSQL database")
	schema := flag.String("schema", "foreman_example", "schema there, which is made if need be")
	flag.Parse()
	if err := run(*db, *schema); err != nil {
		log.Fatal(err)
	}
}

func run(db, schema string) error {
	shared, err := os.MkdirTemp("", "foreman-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(shared) }()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	artifacts := "file://" + filepath.ToSlash(shared)
	one, err := open(ctx, db, schema, artifacts)
	if err != nil {
		return err
	}
	defer func() { _ = one.close() }()
	two, err := open(ctx, db, schema, artifacts)
	if err != nil {
		return err
	}
	defer func() { _ = two.close() }()

	job, err := one.Submit(ctx, foreman.Spec{Model: "shout", Input: json.RawMessage(`"hello"`)})
	if err != nil {
		return err
	}
	for event, err := range two.Watch(ctx, job.ID, 0) {
		if err != nil {
			return err
		}
		fmt.Println(event.State)
	}
	r, _, err := two.OpenArtifact(ctx, job.ID, "loud.txt")
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	fmt.Println(string(data))
	return nil
}

// replica is a Foreman with what it stands on, which is its own to close.
type replica struct {
	*foreman.Foreman
	close func() error
}

// open starts a Foreman, as each of many programs would.
func open(ctx context.Context, db, schema, artifactsURL string) (*replica, error) {
	jobs, err := postgres.Open(ctx, db, &postgres.Options{Schema: schema})
	if err != nil {
		return nil, err
	}
	artifacts, err := blobstore.Open(ctx, artifactsURL, nil)
	if err != nil {
		return nil, errors.Join(err, jobs.Close())
	}
	f, err := foreman.New(foreman.BackendFunc(shout), &foreman.Options{Store: jobs, Artifacts: artifacts})
	if err != nil {
		return nil, errors.Join(err, artifacts.Close(), jobs.Close())
	}
	running, stop := context.WithCancel(ctx)
	ran := make(chan error, 1)
	go func() { ran <- f.Run(running) }()
	return &replica{f, func() error {
		stop()
		return errors.Join(<-ran, f.Close(), artifacts.Close(), jobs.Close())
	}}, nil
}

func shout(_ context.Context, t *foreman.Task) error {
	var text string
	if err := json.Unmarshal(t.Spec.Input, &text); err != nil {
		return foreman.Permanent(err)
	}
	_, err := t.Artifact("loud.txt", "text/plain", strings.NewReader(strings.ToUpper(text)))
	return err
}
