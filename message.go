package foreman

import (
	"encoding/json"
	"fmt"

	"github.com/oklog/ulid/v2"
)

// message is what processes that share a store tell each other. What a process does not
// know it leaves out of account, so that two versions can work together.
type message struct {
	Ready  bool        `json:"ready,omitempty"`  // something has become ready, or will
	Paused bool        `json:"paused,omitempty"` // what is paused has changed
	All    bool        `json:"all,omitempty"`    // so many jobs have changed that they are not named
	Jobs   []ulid.ULID `json:"jobs,omitempty"`   // these have changed
	Watch  []wish      `json:"watch,omitempty"`
	Show   *showing    `json:"show,omitempty"`
}

// wish is for what the attempt at a job shows, if it runs in the process that reads it.
type wish struct {
	Job      ulid.ULID `json:"job"`
	Sequence uint64    `json:"sequence,omitempty"` // of the attempt that is known
	Offset   int64     `json:"offset,omitempty"`   // how much of its output is
}

// showing is a piece of what an attempt shows.
type showing struct {
	Job      ulid.ULID `json:"job"`
	Sequence uint64    `json:"sequence"`
	Attempt  int       `json:"attempt"`
	Offset   int64     `json:"offset"` // of the output in it
	// First says that here begins what somebody has asked for, and Asked from where on:
	// what is between is not there any more.
	First    bool      `json:"first,omitempty"`
	Asked    int64     `json:"asked,omitempty"`
	Output   []byte    `json:"output,omitempty"`
	Progress *Progress `json:"progress,omitempty"`
	Over     bool      `json:"over,omitempty"` // nothing follows
}

// What one message holds, so that it is not longer than a store takes.
const (
	maxNamed  = 200 // jobs
	maxWishes = 60
	maxShown  = 4 << 10 // bytes of output
)

// maxOffset bounds places in an output: no attempt gets there.
const maxOffset = 1 << 50

func (m *message) empty() bool {
	return !m.Ready && !m.Paused && !m.All && len(m.Jobs) == 0 && len(m.Watch) == 0 && m.Show == nil
}

// String is the message as it is sent.
func (m *message) String() string {
	b, err := json.Marshal(m)
	if err != nil {
		panic(err) // there is nothing in it that could not be written
	}
	return string(b)
}

func parseMessage(s string) (m message, err error) {
	if err := json.Unmarshal([]byte(s), &m); err != nil {
		return message{}, fmt.Errorf("message: %w", err)
	}
	if s := m.Show; s != nil && (s.Offset < 0 || s.Offset > maxOffset || s.Asked < 0 || len(s.Output) > maxShown) {
		return message{}, fmt.Errorf("message: %d bytes of output at %d", len(s.Output), s.Offset)
	}
	return m, nil
}
