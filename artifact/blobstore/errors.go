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
	switch m := missingIn(err); {
	case m != nil && m.final:
		return advised(err)
	case m != nil:
		advice = "for %s " + m.advice
	case gcerrors.Code(err) == gcerrors.PermissionDenied:
		advice = "see that the credentials of this process may read, write, list and delete objects in %s"
	}
	return fmt.Errorf("%w: %w (nothing is acknowledged; "+advice+")", artifact.ErrUnavailable, scrub(err), s.where)
}

// missing is a setting of an SDK that somebody has forgotten, by what the SDK says: it has
// no codes for them.
type missing struct {
	said   string
	final  bool // it will not come by itself, as the credentials of a machine may
	advice string
}

var settings = []missing{
	{"endpoint rule error", true, "give region= in the URL, or set AWS_REGION"},
	{"failed to refresh cached credentials", false, "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role"},
	{"AccountName is required", true, "give storage_account= in the URL, or set AZURE_STORAGE_ACCOUNT"},
	{"DefaultAzureCredential", false, "set AZURE_STORAGE_KEY, AZURE_STORAGE_SAS_TOKEN or AZURE_STORAGE_CONNECTION_STRING, or give the machine an identity"},
	{"private key should be a PEM", false, "set GOOGLE_APPLICATION_CREDENTIALS to the file of a service account, or give the machine one"},
}

// missingIn returns the setting that an error is about, or nil.
func missingIn(err error) *missing {
	for i := range settings {
		if strings.Contains(err.Error(), settings[i].said) {
			return &settings[i]
		}
	}
	return nil
}

// advised adds to an error that is for good what can be done about it.
func advised(err error) error {
	if m := missingIn(err); m != nil {
		return fmt.Errorf("%w (%s)", scrub(err), m.advice)
	}
	return scrub(err)
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
