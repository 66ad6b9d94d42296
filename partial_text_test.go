package foreman

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

// However it comes and is read, text loses half a character at its end, and what is no
// text loses nothing.
func TestWholeText(t *testing.T) {
	long := strings.Repeat("x\u20ac\U0001F600", 5000)
	for in, want := range map[string]string{
		"":                         "",
		"plain":                    "plain",
		"caf\u00e9":                "caf\u00e9",
		"caf\xc3":                  "caf",
		"\u20ac\xe2\x82":           "\u20ac",
		"\U0001F600\xf0\x9f\x98":   "\U0001F600",
		"\xff":                     "\xff",
		"a\xffb\xe2\x82":           "a\xffb\xe2\x82",
		"\x82\xe2":                 "\x82\xe2",
		long:                       long,
		long[:len(long)-1]:         long[:len(long)-4],
		long + "\xff" + "\xf0\x9f": long + "\xff" + "\xf0\x9f",
	} {
		for name, from := range map[string]func(io.Reader) io.Reader{
			"as it is": func(r io.Reader) io.Reader { return r },
			"by bytes": iotest.OneByteReader,
			"by half":  iotest.HalfReader,
			"at once":  iotest.DataErrReader,
		} {
			text := &wholeText{r: from(strings.NewReader(in))}
			got, err := io.ReadAll(iotest.OneByteReader(text))
			require.NoError(t, err)
			require.Equal(t, want, string(got), name)
			require.Equal(t, strings.ToValidUTF8(want, "") != want, text.other, "%.20q", in)
		}
	}
	_, err := io.ReadAll(&wholeText{r: iotest.ErrReader(io.ErrUnexpectedEOF)})
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}
