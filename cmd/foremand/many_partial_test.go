package main

import (
	"bufio"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/internal/pgtest"
)

// TestPartialElsewhere kills the foremand that generates an answer. The other one takes
// the job over when its lease has run out, and has what was generated until then.
func TestPartialElsewhere(t *testing.T) {
	f := newFleet(t, 2, pgtest.Start(t).URL)
	prompt := strings.Repeat("word ", 1000)
	j := post(t, f.member(0).url+"/jobs", `{"model":"echo","prompt":"`+prompt+`","options":{"delay":"20ms"}}`).job(t)
	runner := 0
	require.Eventually(t, func() bool {
		runner = slices.IndexFunc(f.members, func(p *process) bool { return slices.Contains(p.running(), j.ID) })
		return runner >= 0
	}, patience, 10*time.Millisecond)
	// What is kept is at most a second behind what is shown.
	events, err := http.Get(f.member(runner).url + "/jobs/" + j.ID + "/events")
	require.NoError(t, err)
	defer func() { _ = events.Body.Close() }()
	words := 0
	for lines := bufio.NewScanner(events.Body); words < 120 && lines.Scan(); {
		words += strings.Count(lines.Text(), "word")
	}
	f.member(runner).kill()
	killed := time.Now()
	other := f.member(1 - runner)
	until(t, other.url+"/jobs/"+j.ID, func(j job) bool { return j.Attempt == 2 && j.State == "working" })
	took := time.Since(killed)
	a := get(t, other.url+"/jobs/"+j.ID+"/artifacts/partial")
	require.Equal(t, http.StatusOK, a.status)
	require.True(t, strings.HasPrefix(prompt, string(a.body)), "%.40q", a.body)
	require.Greater(t, len(a.body), 50*len("word "))
	t.Logf("taken over after %s, with %d bytes", took.Round(10*time.Millisecond), len(a.body))
	require.Less(t, took, leaseTime+10*time.Second)
}
