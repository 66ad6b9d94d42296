package blobstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"gocloud.dev/blob"

	"github.com/foreman-go/foreman/artifact"
)

// Open opens the store in the bucket that a URL names, of a kind whose package the
// program imports: see the package's documentation. It writes an object, to see
// that it can. If o is nil, the defaults are used.
//
// Errors are [artifact.ErrUnavailable] if the bucket is not there, cannot be
// reached, or cannot be written to, and otherwise say what is wrong with the URL, or
// which setting of its SDK is missing. What they say has neither a password nor a
// parameter of the URL in it.
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
	if schemes := blob.DefaultURLMux().BucketSchemes(); !slices.Contains(schemes, u.Scheme) {
		return nil, fmt.Errorf("blobstore: %q is not the URL of a bucket that this program knows, which begins with one of %s://; that of a directory is like %s",
			where, strings.Join(schemes, "://, "), directoryURL)
	}
	if u.Scheme == "file" && !isDirectoryURL(u) {
		return nil, fmt.Errorf("blobstore: %s: the URL of a directory has three slashes and all of its path, like %s", where, directoryURL)
	}
	if u.Query().Has("key") {
		return nil, fmt.Errorf("blobstore: %s: it names one object with key=, and a bucket is needed", where)
	}
	bucket, err := blob.DefaultURLMux().OpenBucketURL(ctx, withDefaults(u))
	switch {
	case errors.Is(err, fs.ErrNotExist) && u.Scheme == "file":
		return nil, fmt.Errorf("blobstore: open %s: %w: there is no such directory: mount it, if it is a share, or make it (create_dir=true in the URL has it made)", where, artifact.ErrUnavailable)
	case err != nil:
		return nil, fmt.Errorf("blobstore: open %s: %w", where, advised(err))
	}
	s := New(bucket, o)
	s.where = where
	if err := s.prepare(ctx); err != nil {
		_ = s.Close()
		return nil, fmt.Errorf("blobstore: open %s: %w", where, err)
	}
	return s, nil
}

// directoryURL is how the URL of a directory looks.
const directoryURL = "file:///srv/artifacts"

// isDirectoryURL reports whether a file:// URL names a directory by its whole path, or as
// file://./below for one below the working directory. fileblob takes any other host for
// none, so that two slashes alone would lose the first part of the path.
func isDirectoryURL(u *url.URL) bool {
	return u.Path != "" && (u.Host == "" || u.Host == "localhost" || u.Host == ".")
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
		defaults = map[string]string{"dir_file_mode": "0700"}
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
	dir, err := s.note(ctx, clockKey, clockText, false)
	if err != nil || !s.files {
		return err
	}
	s.marked = true
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
	if s.files { // whose lists are of what is left if there is nothing
		return s.mounted(ctx)
	}
	ok, err := s.bucket.IsAccessible(ctx)
	if err == nil && !ok {
		err = errors.New("there is no such bucket")
	}
	if err != nil {
		return s.unavailable(ctx, err)
	}
	return nil
}

// mounted returns an error if the bucket is a directory and not there, or not the one that
// was opened: fileblob makes anew what is missing, and would fill the disk below a share
// that is not mounted.
func (s *Store) mounted(ctx context.Context) error {
	var ok bool
	var err error
	switch {
	case !s.files:
		return nil
	case !s.marked:
		ok = s.isDirectory()
	default:
		ok, err = s.bucket.Exists(ctx, clockKey)
	}
	if err == nil && !ok {
		err = errors.New("the directory is not there, or has no object clock any more, as if it were not mounted")
	}
	if err != nil {
		return s.unavailable(ctx, err)
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
