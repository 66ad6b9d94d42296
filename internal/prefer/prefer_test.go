package prefer_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/internal/prefer"
)

func TestWait(t *testing.T) {
	for _, tc := range []struct {
		name  string
		lines []string
		want  time.Duration
	}{
		{"none", nil, 0},
		{"a number", []string{"wait=10"}, 10 * time.Second},
		{"in any case", []string{"WaiT=10"}, 10 * time.Second},
		{"with space", []string{" wait = 10 "}, 10 * time.Second},
		{"in quotes", []string{`wait="10"`}, 10 * time.Second},
		{"in quotes with an escape", []string{`wait="1\0"`}, 10 * time.Second},
		{"with parameters", []string{`wait=10; a="1,wait=3;"; b`}, 10 * time.Second},
		{"in a list", []string{"respond-async, wait=10"}, 10 * time.Second},
		{"behind a comma in quotes", []string{`foo="a, wait=3", wait=10`}, 10 * time.Second},
		{"behind an escaped quote", []string{`foo="a\", wait=3", wait=10`}, 10 * time.Second},
		{"in another line", []string{"return=minimal", "wait=10"}, 10 * time.Second},
		{"the first of two", []string{"wait=10, wait=20", "wait=30"}, 10 * time.Second},
		{"at the most", []string{"wait=60"}, time.Minute},
		{"above the most", []string{"wait=61"}, time.Minute},
		{"above all numbers", []string{"wait=" + strings.Repeat("9", 1000)}, time.Minute},
		{"nothing", []string{"wait="}, 0},
		{"no value", []string{"wait"}, 0},
		{"zero", []string{"wait=0"}, 0},
		{"negative", []string{"wait=-1"}, 0},
		{"a fraction", []string{"wait=1.5"}, 0},
		{"a duration", []string{"wait=10s"}, 0},
		{"as a parameter", []string{"respond-async; wait=10"}, 0},
		{"in an open quote", []string{`foo="a, wait=10`}, 0},
		{"another name", []string{"waiting=10, await=10"}, 0},
		{"empty elements", []string{",, ,wait=10,"}, 10 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			require.Equal(t, tc.want, prefer.Wait(http.Header{"Prefer": tc.lines}, time.Minute))
		})
	}
}

func TestNoWait(t *testing.T) {
	for line, want := range map[string]bool{
		"wait=0": true, "respond-async, Wait = \"00\"": true,
		"": false, "wait": false, "wait=": false, "wait=1": false, "wait=10": false, "wait=-0": false, "wait=1, wait=0": false,
	} {
		require.Equal(t, want, prefer.NoWait(http.Header{"Prefer": {line}}), line)
	}
}

func TestPriority(t *testing.T) {
	for line, want := range map[string]int{
		"priority=5": 5, "Priority=-100": -100, `wait=3, priority="100"`: 100, "priority=0": 0, "priority=+7": 7,
	} {
		n, ok := prefer.Priority(http.Header{"Prefer": {line}})
		require.True(t, ok, line)
		require.Equal(t, want, n, line)
	}
	for _, line := range []string{"", "priority", "priority=", "priority=high", "priority=1.5", "priority=101", "priority=-101", "wait=3; priority=5", "u=5"} {
		_, ok := prefer.Priority(http.Header{"Prefer": {line}})
		require.False(t, ok, line)
	}
}

func TestAsync(t *testing.T) {
	for line, want := range map[string]bool{
		"respond-async": true, "wait=3, Respond-Async": true, "respond-async; x=1": true,
		"": false, "respond-async=no": false, `x="respond-async"`: false, "wait=3": false,
	} {
		require.Equal(t, want, prefer.Async(http.Header{"Prefer": {line}}), line)
	}
}

func FuzzPrefer(f *testing.F) {
	for _, seed := range []string{"wait=10", `wait="1\0"; a="b"`, "respond-async, wait=5", `a="\`, `"`, "wait=" + strings.Repeat("9", 30), ",;=\""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		d := prefer.Wait(http.Header{"Prefer": {line}}, time.Minute)
		require.GreaterOrEqual(t, d, time.Duration(0))
		require.LessOrEqual(t, d, time.Minute)
		require.Zero(t, d%time.Second)
		if !strings.Contains(strings.ToLower(line), "wait") {
			require.Zero(t, d)
		}
		require.Equal(t, 7*time.Second, prefer.Wait(http.Header{"Prefer": {"x=" + quoteAll(line) + ", wait=7"}}, time.Minute), "whatever stands before it in quotes")
	})
}

// quoteAll writes a text as a quoted string with an escape before every byte.
func quoteAll(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		b.WriteByte('\\')
		b.WriteByte(s[i])
	}
	b.WriteByte('"')
	return b.String()
}
