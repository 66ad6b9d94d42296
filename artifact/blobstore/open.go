package blobstore

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"gocloud.dev/blob"
)

// Open opens the store in the bucket that a URL names, of a kind whose package the
// program imports: see the package's documentation. It writes an object, to see
// that it can. If o is nil, the defaults are used.
//
// Errors are [artifact.ErrUnavailable] if the bucket is not there, cannot be
// reached, or cannot be written to, and otherwise say what is wrong with the URL.
// What they say has neither a password nor a parameter of the URL in it.
//
// [artifact.ErrUnavailable]: https://pkg.go.dev/github.com/foreman-go/foreman/artifact#ErrUnavailable
func Open(ctx context.Context, bucketURL string, o *Options) (*Store, error) {
	u, err := url.Parse(bucketURL)
	if err != nil {
		if e := (*url.Error)(nil); errors.As(err, &e) {
			err = e.Err // without the URL
		}
		return nil, fmt.Errorf("blobstore: the URL of the bucket cannot be read: %w", err)
	}
	where := redacted(u)
	if !slices.Contains(blob.DefaultURLMux().BucketSchemes(), u.Scheme) {
		return nil, fmt.Errorf("blobstore: %s: this program has been built for %q only: import the package of gocloud.dev/blob that knows others",
			where, blob.DefaultURLMux().BucketSchemes())
	}
	if u.Query().Has("key") {
		return nil, fmt.Errorf("blobstore: %s: it names one object with key=, and a bucket is needed", where)
	}
	bucket, err := blob.DefaultURLMux().OpenBucketURL(ctx, withDefaults(u))
	if err != nil {
		return nil, fmt.Errorf("blobstore: open %s: %w", where, scrub(err))
	}
	s := New(bucket, o)
	s.where = where
	if err := s.prepare(ctx); err != nil {
		_ = s.Close()
		return nil, fmt.Errorf("blobstore: open %s: %w", where, err)
	}
	return s, nil
}

// withDefaults adds parameters that the URL does not have. fileblob is to make files
// that can be made durable, and nothing else. AWS's SDK is not to write to the
// standard error, for each range, that there is no checksum of a range.
func withDefaults(u *url.URL) *url.URL {
	q := u.Query()
	defaults := map[string]string{}
	switch u.Scheme {
	case "file":
		q.Set("no_tmp_dir", "true")
		q.Set("metadata", "skip")
		defaults = map[string]string{"create_dir": "true", "dir_file_mode": "0700"}
	case "s3":
		defaults = map[string]string{"response_checksum_validation": "when_required"}
	}
	for name, value := range defaults {
		if !q.Has(name) {
			q.Set(name, value)
		}
	}
	with := *u
	with.RawQuery = q.Encode()
	return &with
}

// prepare sees that the bucket can be used, and makes a directory durable.
func (s *Store) prepare(ctx context.Context) error {
	if err := s.there(ctx); err != nil {
		return err
	}
	if _, err := s.now(ctx); err != nil || !s.files {
		return err
	}
	u := s.newUpload(ctx, clockKey, "text/plain")
	defer u.abort()
	if err := u.open(); err != nil {
		return err
	}
	dir := filepath.Dir(u.file.Name())
	for {
		// Parents that others have made may be none of ours to open.
		if err := syncDir(dir); err != nil && !errors.Is(err, os.ErrPermission) {
			return s.unavailable(ctx, err)
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return nil
		}
		dir = parent
	}
}

// there returns an error unless the bucket is there and can be listed.
func (s *Store) there(ctx context.Context) error {
	var ok bool
	var err error
	if s.files { // whose lists are of what is left if there is nothing
		ok = s.isDirectory()
	} else if ok, err = s.bucket.IsAccessible(ctx); err != nil {
		return s.unavailable(ctx, err)
	}
	if !ok {
		return s.unavailable(ctx, errors.New("there is no such bucket"))
	}
	return nil
}

// syncDir makes durable which files are in a directory.
func syncDir(path string) error {
	if runtime.GOOS == "windows" { // it refuses to flush a directory
		return nil
	}
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
