package foreman

import (
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/store"
)

// What is passed over, when the latest is enough: an event that is overdue, is not that
// of an end, was not asked for by hand, and is followed by one that waits.
func TestSuperseded(t *testing.T) {
	o := &Options{Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)}
	o.Webhook.CatchUp = CatchUpLatest
	f, err := New(BackendFunc(nil), o)
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	job, err := f.Submit(t.Context(), Spec{Model: "m", StateWebhookURL: "https://receiver.example"}) // nothing is sent: f does not run
	require.NoError(t, err)
	_, err = f.Cancel(t.Context(), job.ID)
	require.NoError(t, err)

	now := time.Now()
	for name, tc := range map[string]struct {
		sequence uint64
		age      time.Duration
		attempt  int
		log      deliveryLog
		state    State
		want     bool
	}{
		"a minute old":                   {sequence: 1, age: 61 * time.Second, state: Queued, want: true},
		"new":                            {sequence: 1, age: 59 * time.Second, state: Queued},
		"has failed once":                {sequence: 1, attempt: 1, log: deliveryLog{Tries: 1}, state: Queued, want: true},
		"was cut off, or met our proxy":  {sequence: 1, attempt: 1, state: Queued},
		"was so long ago":                {sequence: 1, age: time.Hour, attempt: 1, state: Queued, want: true},
		"tells of an end":                {sequence: 1, age: time.Hour, state: Failed},
		"is asked for by hand":           {sequence: 1, age: time.Hour, log: deliveryLog{Redelivered: true}, state: Queued},
		"is the latest itself":           {sequence: 2, age: time.Hour, state: Queued},
		"of a job without any, as it is": {sequence: 9, age: time.Hour, state: Queued},
	} {
		t.Run(name, func(t *testing.T) {
			at := now.Add(-tc.age)
			d := &store.Delivery{
				ID: job.ID, Seq: tc.sequence, Attempt: tc.attempt, Due: at,
				Body: []byte(`{"state":"` + string(tc.state) + `","timestamp":"` + at.UTC().Format(time.RFC3339Nano) + `"}`),
			}
			require.Equal(t, tc.want, f.outbox.superseded(t.Context(), d, &tc.log))
		})
	}
	f.o.Webhook.CatchUp = CatchUpAll
	require.False(t, f.outbox.superseded(t.Context(), &store.Delivery{ID: job.ID, Seq: 1, Due: now.Add(-time.Hour)}, &deliveryLog{}))
}
