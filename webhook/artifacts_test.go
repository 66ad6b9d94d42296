package webhook_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/webhook"
)

const (
	sha256Hello = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
	sha256Empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

func TestFormatArtifacts(t *testing.T) {
	for name, c := range map[string]struct {
		meta webhook.ArtifactMeta
		want string
	}{
		"text": {
			webhook.ArtifactMeta{Name: "a.txt", ContentType: "text/plain", Size: 5, Data: []byte("hello")},
			`{"name":"a.txt","content_type":"text/plain","size":5,"sha256":"` + sha256Hello + `","data":"hello"}`,
		},
		"size from the data": {
			webhook.ArtifactMeta{Name: "a", Data: []byte("hello")},
			`{"name":"a","content_type":"","size":5,"sha256":"` + sha256Hello + `","data":"hello"}`,
		},
		"text is told by its bytes, not by its type": {
			webhook.ArtifactMeta{Name: "a", ContentType: "image/png", Size: 5, Data: []byte("hello")},
			`{"name":"a","content_type":"image/png","size":5,"sha256":"` + sha256Hello + `","data":"hello"}`,
		},
		"no HTML escapes": {
			webhook.ArtifactMeta{Name: "a", Size: 3, Data: []byte("<&>"), SHA256: "00"},
			`{"name":"a","content_type":"","size":3,"sha256":"00","data":"<&>"}`,
		},
		"bytes": {
			webhook.ArtifactMeta{Name: "a", Size: 2, Data: []byte{0xff, 0xfe}, SHA256: "00"},
			`{"name":"a","content_type":"","size":2,"sha256":"00","data":"//4=","encoding":"base64"}`,
		},
		"empty": {
			webhook.ArtifactMeta{Name: "a", Data: []byte{}},
			`{"name":"a","content_type":"","size":0,"sha256":"` + sha256Empty + `","data":""}`,
		},
		"empty without data": {
			webhook.ArtifactMeta{Name: "a"},
			`{"name":"a","content_type":"","size":0,"sha256":"` + sha256Empty + `","data":""}`,
		},
		"data not at hand": {
			webhook.ArtifactMeta{Name: "a.txt", Size: 5},
			`{"name":"a.txt","content_type":"","size":5,"url":"/jobs/J1/artifacts/a.txt"}`,
		},
		"data not at hand, sum known": {
			webhook.ArtifactMeta{Name: "a.txt", Size: 5, SHA256: sha256Hello},
			`{"name":"a.txt","content_type":"","size":5,"sha256":"` + sha256Hello + `","url":"/jobs/J1/artifacts/a.txt"}`,
		},
		"own URL": {
			webhook.ArtifactMeta{Name: "a", Size: 262_145, URL: "https://example.com/x?a=1&b=2"},
			`{"name":"a","content_type":"","size":262145,"url":"https://example.com/x?a=1&b=2"}`,
		},
		"own URL is not needed inline": {
			webhook.ArtifactMeta{Name: "a", Size: 5, Data: []byte("hello"), URL: "https://example.com/x"},
			`{"name":"a","content_type":"","size":5,"sha256":"` + sha256Hello + `","data":"hello"}`,
		},
		"name with a slash": {
			webhook.ArtifactMeta{Name: "a/b?c", Size: 5},
			`{"name":"a/b?c","content_type":"","size":5,"url":"/jobs/J1/artifacts/a%2Fb%3Fc"}`,
		},
		"removed": {
			webhook.ArtifactMeta{Name: "a", Size: 5, SHA256: sha256Hello, Removed: true},
			`{"name":"a","content_type":"","size":5,"sha256":"` + sha256Hello + `","url":"/jobs/J1/artifacts/a","data_removed":true}`,
		},
		"removed, with data": {
			webhook.ArtifactMeta{Name: "a", Data: []byte("hello"), Removed: true},
			`{"name":"a","content_type":"","size":5,"sha256":"` + sha256Hello + `","url":"/jobs/J1/artifacts/a","data_removed":true}`,
		},
		"removed, empty": {
			webhook.ArtifactMeta{Name: "a", Removed: true},
			`{"name":"a","content_type":"","size":0,"sha256":"` + sha256Empty + `","url":"/jobs/J1/artifacts/a","data_removed":true}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := webhook.FormatArtifacts("J1", []webhook.ArtifactMeta{c.meta})
			require.Equal(t, "["+c.want+"]", string(got))
		})
	}
}

func TestFormatArtifactsNone(t *testing.T) {
	require.Nil(t, webhook.FormatArtifacts("J1", nil))
	require.Nil(t, webhook.FormatArtifacts("J1", []webhook.ArtifactMeta{}))
}

func TestFormatArtifactsKeepsOrder(t *testing.T) {
	got := webhook.FormatArtifacts("J1", []webhook.ArtifactMeta{{Name: "b"}, {Name: "a"}, {Name: "c"}})
	var list []struct{ Name string }
	require.NoError(t, json.Unmarshal(got, &list))
	require.Equal(t, []struct{ Name string }{{"b"}, {"a"}, {"c"}}, list)
}

func TestFormatArtifactsInlineLimit(t *testing.T) {
	at := format(t, webhook.ArtifactMeta{Name: "a", Size: 262_144, Data: bytes.Repeat([]byte("x"), 262_144)})
	require.Equal(t, strings.Repeat("x", 262_144), *at.Data)
	require.Empty(t, at.URL)

	for name, m := range map[string]webhook.ArtifactMeta{
		"size and data": {Name: "a", Size: 262_145, Data: bytes.Repeat([]byte("x"), 262_145)},
		"size alone":    {Name: "a", Size: 262_145, Data: []byte("x")},
		"data alone":    {Name: "a", Data: bytes.Repeat([]byte("x"), 262_145)},
		"a lie":         {Name: "a", Size: 1, Data: bytes.Repeat([]byte("x"), 262_145)},
	} {
		t.Run(name, func(t *testing.T) {
			above := format(t, m)
			require.Nil(t, above.Data)
			require.Equal(t, "/jobs/J1/artifacts/a", above.URL)
		})
	}

	// The limit is on the artifact, not on its base64.
	binary := format(t, webhook.ArtifactMeta{Name: "a", Data: bytes.Repeat([]byte{0xff}, 262_144)})
	require.Equal(t, "base64", binary.Encoding)
	require.NotNil(t, binary.Data)
}

func FuzzFormatArtifacts(f *testing.F) {
	for _, s := range []string{
		"", "hello", "\x00", "a\u2028b\u2029c", "<script>&", "\uFFFD", "\xed\xa0\x80", "\xff", "\"\\\n", "\U0010FFFF",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 262_144 {
			t.Skip()
		}
		got := format(t, webhook.ArtifactMeta{Name: "a", Size: int64(len(data)), Data: data})
		require.NotNil(t, got.Data)
		back := []byte(*got.Data)
		if got.Encoding != "" {
			var err error
			back, err = base64.StdEncoding.DecodeString(*got.Data)
			require.NoError(t, err)
		}
		require.Equal(t, utf8.Valid(data), got.Encoding == "")
		require.True(t, bytes.Equal(data, back))
		sum := sha256.Sum256(data)
		require.Equal(t, hex.EncodeToString(sum[:]), got.SHA256)
	})
}

type element struct {
	Data     *string
	Encoding string
	URL      string
	SHA256   string
}

// format returns the one element that m gives.
func format(t *testing.T, m webhook.ArtifactMeta) element {
	t.Helper()
	var list []element
	require.NoError(t, json.Unmarshal(webhook.FormatArtifacts("J1", []webhook.ArtifactMeta{m}), &list))
	require.Len(t, list, 1)
	return list[0]
}

// What an artifact takes in a document is known before it is put there.
func TestInlineSize(t *testing.T) {
	for name, data := range map[string]string{
		"nothing":      "",
		"text":         "plain text, äöü 你好 😀 <&>",
		"escapes":      "\"\\\n\r\t\b\f\x00\x01\x1f\x7f",
		"separators":   "\u2028\u2029\u2027\u202a",
		"not text":     "\xff\x00\x01",
		"cut short":    "\xe2\x80",
		"another cut":  "abc\xe2",
		"all controls": strings.Repeat("\x01", 1000),
	} {
		t.Run(name, func(t *testing.T) {
			empty := len(webhook.FormatArtifacts("j", []webhook.ArtifactMeta{{Name: "a", Data: []byte{}}}))
			full := len(webhook.FormatArtifacts("j", []webhook.ArtifactMeta{{Name: "a", Data: []byte(data)}}))
			rest := len(strconv.Itoa(len(data))) - 1 // the size is a number
			if !utf8.ValidString(data) {
				rest += len(`,"encoding":"base64"`)
			}
			require.EqualValues(t, full-empty-rest, webhook.InlineSize([]byte(data)))
		})
	}
}
