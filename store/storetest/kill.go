package storetest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

const roundsVariable = "FOREMAN_STORETEST_ROUNDS"

// Kill proves that what a store confirmed survives the sudden death of its
// process. It starts the test binary again as a writer that does everything at
// once and tells of each thing the store has confirmed; kills it (SIGKILL) in
// the middle; opens the place; and looks for all that it was told of: records
// at that version or a later one, their events without a gap and in the feed,
// outcomes, keys, and every delivery with its bytes. What was on its way may
// have happened or not, but never in part.
//
// It repeats this on the same place, FOREMAN_STORETEST_ROUNDS times (default
// 5), then works off all that is left and expects the store to be empty.
//
// Kill cannot show what a loss of power does: the pages that a dead process has
// written are still in the kernel.
//
// [Run] calls Kill, unless the store is volatile. The writer runs the test
// named t.Name() and nothing else; where that test does something before it
// calls Run or Kill, the writer does so too.
func Kill(t *testing.T, h Harness) {
	becomeWriter(h)
	rounds := 5
	if s := os.Getenv(roundsVariable); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatalf("%s must be a number: %v", roundsVariable, err)
		}
		rounds = n
	}
	f := newPlace(t, h)
	f.ctx = t.Context() // there may be many rounds
	t.Cleanup(func() {
		if f.Store != nil {
			f.NoError(f.Close())
		}
	})
	l := newLedger(f)
	for round := range rounds {
		n := 20 + rand.IntN(1500)
		t.Logf("round %d: killed after %d lines", round, n)
		l.hearAndKill(n)
		f.open()
		l.check()
		f.NoError(f.Close())
	}
	f.open()
	l.workOff()
}

// hearAndKill starts a writer, takes down what it says, and kills it at the
// nth line.
func (l *ledger) hearAndKill(n int) {
	f := l.fixture
	cmd := exec.CommandContext(f.ctx, os.Args[0], "-test.run="+exactly(f.t.Name()), "-test.count=1")
	cmd.Env = append(os.Environ(), writerVariable+"="+f.place)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	stdin, err := cmd.StdinPipe() // the writer ends when this is closed
	f.NoError(err)
	defer func() { _ = stdin.Close() }()
	stdout, err := cmd.StdoutPipe()
	f.NoError(err)
	f.NoError(cmd.Start())
	stuck := time.AfterFunc(6*patience, func() { _ = cmd.Process.Kill() })
	defer stuck.Stop()

	heard := 0
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		text, ours := strings.CutPrefix(lines.Text(), linePrefix)
		var said line
		if !ours || json.Unmarshal([]byte(text), &said) != nil {
			continue // not ours, or cut off by the kill and so not confirmed
		}
		l.hear(said)
		if heard++; heard == n {
			f.NoError(cmd.Process.Kill())
		}
	}
	_ = cmd.Wait() // it was killed
	if f.h.Settled != nil {
		f.h.Settled(f.t, f.place)
	}
	f.GreaterOrEqual(heard, n, "the writer ended by itself: %s", &complaints)
}

// exactly is the pattern for -test.run that matches one test.
func exactly(name string) string {
	parts := strings.Split(name, "/")
	for i, part := range parts {
		parts[i] = "^" + regexp.QuoteMeta(part) + "$"
	}
	return strings.Join(parts, "/")
}
