package foreman

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every way to leave out some of four members gives JSON with the others, each as it
// was.
func TestRemainder(t *testing.T) {
	for _, space := range []string{"", " ", "\r\n\t"} {
		for left := range 1 << 4 {
			var all, kept []string
			for i := range 4 {
				m := fmt.Sprintf(`%s"n%d"%s:%s{"x":["\"},",%d]}%s`, space, i, space, space, i, space)
				all = append(all, m)
				if left&(1<<i) == 0 {
					kept = append(kept, strings.TrimSpace(m))
				}
			}
			body := []byte(space + "{" + strings.Join(all, ",") + "}" + space)
			var rest remainder
			for m := range members(body) {
				if left&(1<<(m.name[1]-'0')) == 0 {
					rest.keep(m)
				} else {
					rest.leave(m)
				}
			}
			got := rest.of(body)
			require.True(t, json.Valid(got), "%s", got)
			var inside []string
			for m := range members(got) {
				inside = append(inside, string(got[m.start:m.end]))
			}
			require.Equal(t, kept, inside, "%s", got)
			if left == 0 {
				require.Equal(t, body, got)
			}
		}
	}
}

func TestMembersAndElements(t *testing.T) {
	object := ` { "a" : 1 , "\u0062\\" : "x\\" ,"":[{}] , "d":-1.5e3,"e":null,"f" :{"}":"]"}} `
	var got []string
	for m := range members([]byte(object)) {
		got = append(got, string(m.name)+" is "+string(m.value))
	}
	require.Equal(t, []string{`a is 1`, `b\ is "x\\"`, ` is [{}]`, `d is -1.5e3`, `e is null`, `f is {"}":"]"}`}, got)
	got = nil
	for v := range elements([]byte(` [ 1 , "," ,[2,[3]],{"a":[4]},true] `)) {
		got = append(got, string(v))
	}
	require.Equal(t, []string{`1`, `","`, `[2,[3]]`, `{"a":[4]}`, `true`}, got)
	for _, empty := range []string{"{}", " { } ", "[]", "[\n]"} {
		for range members([]byte(strings.NewReplacer("[", "{", "]", "}").Replace(empty))) {
			require.Fail(t, empty)
		}
		for range elements([]byte(strings.NewReplacer("{", "[", "}", "]").Replace(empty))) {
			require.Fail(t, empty)
		}
	}
}
