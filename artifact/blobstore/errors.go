package blobstore

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"gocloud.dev/gcerrors"

	"github.com/foreman-go/foreman/artifact"
)

// isNotFound reports whether an error says that there is no such object, or no such
// bucket: object stores do not always tell these apart.
func isNotFound(err error) bool { return gcerrors.Code(err) == gcerrors.NotFound }

// notFound is the error for an artifact, or a spool, that is not there, after
// having looked whether the bucket is.
func (s *Store) notFound(ctx context.Context) error {
	if err := s.there(ctx); err != nil {
		return err
	}
	return artifact.ErrNotFound
}

// unavailable adds to an error of the bucket what can be done about it. If ctx has
// ended, that is the reason.
func (s *Store) unavailable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	advice := "see that %s is there, can be reached and has room, then try again"
	if gcerrors.Code(err) == gcerrors.PermissionDenied {
		advice = "see that the credentials of this process may read, write, list and delete objects in %s"
	}
	return fmt.Errorf("%w: %w (nothing is acknowledged; "+advice+")", artifact.ErrUnavailable, scrub(err), s.where)
}

// redacted is a URL for messages: without a user, and with no parameter but the
// prefix.
func redacted(u *url.URL) string {
	plain := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, Opaque: u.Opaque}
	if prefix := u.Query().Get("prefix"); prefix != "" {
		plain.RawQuery = url.Values{"prefix": {prefix}}.Encode()
	}
	return plain.String()
}

// inText finds URLs in the text of an error.
var inText = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://[^\s"'<>]*`)

// scrub returns an error whose text has neither users nor parameters in its URLs:
// the SDKs put the URLs of their requests there, and signatures are parameters.
func scrub(err error) error {
	text := inText.ReplaceAllStringFunc(err.Error(), func(found string) string {
		scheme, rest, _ := strings.Cut(found, "://")
		rest, _, cut := strings.Cut(rest, "?")
		host, path, slash := strings.Cut(rest, "/")
		host = host[strings.LastIndexByte(host, '@')+1:]
		if slash {
			host += "/" + path
		}
		if cut {
			host += "?..."
		}
		return scheme + "://" + host
	})
	if text == err.Error() {
		return err
	}
	return &scrubbed{text: text, err: err}
}

// scrubbed is an error with another text.
type scrubbed struct {
	text string
	err  error
}

func (s *scrubbed) Error() string { return s.text }
func (s *scrubbed) Unwrap() error { return s.err }

// errReaderClosed is what a reader gets that reads on after Close.
var errReaderClosed = errors.New("the artifact has been closed")
