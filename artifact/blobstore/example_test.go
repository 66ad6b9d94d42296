package blobstore_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"strings"

	"gocloud.dev/blob"
	_ "gocloud.dev/blob/fileblob" // or s3blob, gcsblob, azureblob

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/artifact"
	"github.com/foreman-go/foreman/artifact/blobstore"
)

// A Foreman that keeps its artifacts where other machines have them too. With
// gocloud.dev/blob/s3blob imported, the URL could be
// "s3://my-bucket?region=eu-central-1&prefix=foreman/".
func Example() {
	dir, err := os.MkdirTemp("", "foreman-")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	bucketURL := "file://" + filepath.ToSlash(dir) + "?create_dir=true&prefix=artifacts/"
	if err := keepInBucket(context.Background(), dir, bucketURL); err != nil {
		log.Fatal(err)
	}
	// Output:
	// haiku.txt An old silent pond
}

func keepInBucket(ctx context.Context, dir, bucketURL string) error {
	backend := foreman.BackendFunc(func(_ context.Context, t *foreman.Task) error {
		_, err := t.Artifact("haiku.txt", "text/plain", strings.NewReader("An old silent pond"))
		return err
	})
	artifacts, err := blobstore.Open(ctx, bucketURL, nil)
	if err != nil {
		return err
	}
	defer func() { _ = artifacts.Close() }()
	f, err := foreman.New(backend, &foreman.Options{Dir: dir, Artifacts: artifacts})
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { _ = f.Run(ctx) }()

	job, err := f.Submit(ctx, foreman.Spec{Model: "poet", Input: json.RawMessage(`"a pond"`)})
	if err != nil {
		return err
	}
	for _, err := range f.Watch(ctx, job.ID, 0) {
		if err != nil {
			return err
		}
	}
	r, info, err := f.OpenArtifact(ctx, job.ID, "haiku.txt")
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	text := make([]byte, info.Size)
	_, err = io.ReadFull(r, text)
	fmt.Println(info.Name, string(text))
	return err
}

// A bucket that was opened in another way than by its URL.
func ExampleNew() {
	ctx := context.Background()
	bucket, err := blob.OpenBucket(ctx, "mem://")
	if err != nil {
		log.Fatal(err)
	}
	s := blobstore.New(blob.PrefixedBucket(bucket, "foreman/"), &blobstore.Options{SweepAge: -1})
	defer func() { _ = s.Close() }()

	k := artifact.Key{Job: "01ARZ3NDEKTSV4RRFFQ69G5FAV", Run: 1, Name: "haiku.txt"}
	info, err := s.Put(ctx, k, "text/plain", strings.NewReader("An old silent pond"), 1<<20)
	fmt.Println(info.Size, info.SHA256[:8], err)
	// What no job knows is removed. This store alone uses the bucket, and does not wait.
	fmt.Println(s.Sweep(ctx, func(string, uint64) (bool, error) { return false, nil }))
	// Output:
	// 18 0e9f4320 <nil>
	// 1 <nil>
}
