package artifact_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/foreman-go/foreman/artifact"
)

func Example() {
	path, err := os.MkdirTemp("", "artifacts")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(path) }()

	d, err := artifact.OpenDir(path)
	if err != nil {
		panic(err)
	}
	defer func() { _ = d.Close() }()

	ctx := context.Background()
	k := artifact.Key{Job: "01ARZ3NDEKTSV4RRFFQ69G5FAV", Run: 1, Name: "haiku.txt"}
	info, err := d.Put(ctx, k, "text/plain", strings.NewReader("An old silent pond"), 1<<20)
	if err != nil {
		panic(err)
	}
	fmt.Println(info.Name, info.Size, info.SHA256[:8], info.Inline())

	f, err := d.Open(ctx, k)
	if err != nil {
		panic(err)
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(f)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(text))

	_, err = d.Put(ctx, k, "text/plain", strings.NewReader("much too long"), 4)
	fmt.Println(errors.Is(err, artifact.ErrTooLarge))

	// Whoever knows which jobs there are says what to keep.
	removed, err := d.Sweep(ctx, func(job string, run uint64) (bool, error) { return run > 1, nil })
	fmt.Println(removed, err)
	// Output:
	// haiku.txt 18 0e9f4320 true
	// An old silent pond
	// true
	// 1 <nil>
}
