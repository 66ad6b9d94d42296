package artifact_test

import (
	"mime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/artifact"
)

func TestCheckContentType(t *testing.T) {
	for given, want := range map[string]string{
		"":                              "application/octet-stream",
		"text/plain":                    "text/plain",
		"Text/HTML; Charset=UTF-8":      "text/html; charset=UTF-8",
		" image/png ":                   "image/png",
		"a/b; y=2; x=1":                 "a/b; x=1; y=2",
		`a/b; q="x y"`:                  `a/b; q="x y"`,
		"application/vnd.api+json":      "application/vnd.api+json",
		"a/" + strings.Repeat("b", 253): "a/" + strings.Repeat("b", 253),
	} {
		got, err := artifact.CheckContentType(given)
		require.NoError(t, err, "%q", given)
		require.Equal(t, want, got)
	}
	for _, ct := range []string{
		" ", "text", "text/", "/plain", "text/plain/x", "text plain", "text/plain; charset", "text/plain; =x",
		"text/plain; a=1; a=2", "text/plain\r\nX-Evil: 1", "text/plain\n", "text/\x00", "text/plain\x7f", "text/plain;\tq=1",
		"text/é", "form-data; name=x", "a/" + strings.Repeat("b", 254), strings.Repeat(";", 255),
	} {
		_, err := artifact.CheckContentType(ct)
		require.ErrorIs(t, err, artifact.ErrContentType, "%q", ct)
	}
}

func FuzzCheckContentType(f *testing.F) {
	for _, seed := range []string{"text/plain; charset=utf-8", `a/b; q="x\"y"`, "a/b; f*=utf-8''%e2%82%ac%0d%0a", "a/b; f*0=x; f*1=y", "*/*"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, ct string) {
		got, err := artifact.CheckContentType(ct)
		if err != nil {
			require.ErrorIs(t, err, artifact.ErrContentType)
			return
		}
		require.LessOrEqual(t, len(got), 255)
		for _, c := range []byte(got) {
			require.True(t, ' ' <= c && c <= '~', "%q", got)
		}
		_, _, err = mime.ParseMediaType(got)
		require.NoError(t, err)
		again, err := artifact.CheckContentType(got)
		require.NoError(t, err)
		require.Equal(t, got, again)
	})
}
