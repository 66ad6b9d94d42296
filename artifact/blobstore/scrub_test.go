package blobstore

import (
	"errors"
	"io/fs"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestScrub(t *testing.T) {
	for text, want := range map[string]string{
		"nothing to see": "nothing to see",
		`Get "https://acct.blob.core.windows.net/c/k?sv=1&sig=s3cret%3D": dial tcp: refused`: `Get "https://acct.blob.core.windows.net/c/k?...": dial tcp: refused`,
		`open bucket s3://key:s3cret@bucket?region=x: invalid`:                               `open bucket s3://bucket?... invalid`,
		"https://user:s3cret@host and https://b?x=s3cret":                                    "https://host and https://b?...",
		"https://host/a@b/c": "https://host/a@b/c",
	} {
		err := scrub(errors.New(text))
		require.Equal(t, want, err.Error())
		require.NotContains(t, err.Error(), "s3cret")
	}
	err := scrub(&fs.PathError{Op: "open", Path: "file://a?b=s3cret", Err: fs.ErrNotExist})
	require.ErrorIs(t, err, fs.ErrNotExist)
}
