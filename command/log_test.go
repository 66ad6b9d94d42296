package command_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/command"
)

func TestHeadTail(t *testing.T) {
	for name, tc := range map[string]struct {
		most   int
		pieces []string
		want   string
	}{
		"nothing":               {8, nil, ""},
		"little":                {8, []string{"ab", "c"}, "abc"},
		"all there is room for": {8, []string{"abcd", "efgh"}, "abcdefgh"},
		"one too many":          {8, []string{"abcdefghi"}, "abcd\n[1 bytes dropped]\nfghi"},
		"a byte at a time":      {8, strings.Split("abcdefghijklmno", ""), "abcd\n[7 bytes dropped]\nlmno"},
		"one large piece":       {8, []string{"abcdef", strings.Repeat("x", 100) + "yz"}, "abcd\n[100 bytes dropped]\nxxyz"},
		"a line end is there":   {8, []string{"abc\n", "0123456789"}, "abc\n[6 bytes dropped]\n6789"},
		"odd":                   {5, []string{"abcdefgh"}, "ab\n[3 bytes dropped]\nfgh"},
		"one byte":              {1, []string{"abc", "d"}, "[3 bytes dropped]\nd"},
		"no half characters":    {8, []string{"abcé", "xxxx", "éfgh"}, "abc\n[8 bytes dropped]\nfgh"},
	} {
		t.Run(name, func(t *testing.T) {
			var pieces [][]byte
			for _, p := range tc.pieces {
				pieces = append(pieces, []byte(p))
			}
			got := command.HeadTail(tc.most, pieces...)
			require.Equal(t, tc.want, string(got))
			require.True(t, utf8.Valid(got))
		})
	}
}

func TestLastLine(t *testing.T) {
	long := strings.Repeat("é", 400)
	for text, want := range map[string]string{
		"":                               "",
		"\n \r\n":                        "",
		"one":                            "one",
		"one\n two \n\n":                 "two",
		"10%\r20%\rfailed\r":             "failed",
		"bad \xff byte":                  "bad  byte",
		"x" + long:                       "x" + long[:498] + "...",
		strings.Repeat("x", 20_000) + "": strings.Repeat("x", 500) + "...",
	} {
		require.Equal(t, want, command.LastLine([]byte(text)))
	}
}
