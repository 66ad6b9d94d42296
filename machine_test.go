package foreman

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Every thing that can happen, in every state, with what follows. A pair that is not
// listed is refused with ErrState.
func TestTransitions(t *testing.T) {
	begun := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	now := begun.Add(time.Hour)
	later := now.Add(time.Minute)
	tm := terms{maxAttempts: 3, queueTimeout: time.Minute, jobTTL: 24 * time.Hour, artifactTTL: time.Hour}
	passing := Error{Type: BackendError, Message: "no", Retryable: true}
	final := Error{Type: BackendRejected, Message: "never"}

	working := life{state: Working, attempt: 1, startedAt: begun}
	lives := map[string]life{
		"queued":           {state: Queued},
		"queued overdue":   {state: Queued, attempt: 1, deadline: begun},
		"working":          working,
		"working, last":    {state: Working, attempt: 3, startedAt: begun},
		"working, to stop": {state: Working, attempt: 1, startedAt: begun, cancelRequested: begun},
		"done":             {state: Done, attempt: 1, finishedAt: begun},
		"failed":           {state: Failed, attempt: 3, finishedAt: begun, err: &final},
		"canceled":         {state: Canceled, attempt: 1, finishedAt: begun},
	}
	happenings := map[string]func(life) (life, error){
		"start":         func(l life) (life, error) { return l.start(now) },
		"succeed":       func(l life) (life, error) { return l.succeed(now, tm) },
		"passing fault": func(l life) (life, error) { return l.fault(passing, later, now, tm) },
		"final fault":   func(l life) (life, error) { return l.fault(final, later, now, tm) },
		"release":       func(l life) (life, error) { return l.release(nil, now, now, tm) },
		"cancel":        func(l life) (life, error) { return l.requestCancel(now, tm), nil },
		"stop":          func(l life) (life, error) { return l.stop(now, tm) },
		"expire":        func(l life) (life, error) { return l.expire(now, tm) },
		"retry":         func(l life) (life, error) { return l.retry(now, tm) },
	}
	type pair struct{ life, happening string }
	type next struct {
		state   State
		attempt int
		errType ErrorType
		runAt   time.Time
	}
	want := map[pair]next{
		{"queued", "start"}:  {state: Working, attempt: 1},
		{"queued", "cancel"}: {state: Canceled, errType: CanceledError},

		{"queued overdue", "start"}:  {state: Working, attempt: 2},
		{"queued overdue", "cancel"}: {state: Canceled, attempt: 1, errType: CanceledError},
		{"queued overdue", "expire"}: {state: Failed, attempt: 1, errType: QueueTimeout},

		{"working", "succeed"}:       {state: Done, attempt: 1},
		{"working", "passing fault"}: {state: Queued, attempt: 1, errType: BackendError, runAt: later},
		{"working", "final fault"}:   {state: Failed, attempt: 1, errType: BackendRejected},
		{"working", "release"}:       {state: Queued},
		{"working", "cancel"}:        {state: Working, attempt: 1},

		{"working, last", "succeed"}:       {state: Done, attempt: 3},
		{"working, last", "passing fault"}: {state: Failed, attempt: 3, errType: BackendError},
		{"working, last", "final fault"}:   {state: Failed, attempt: 3, errType: BackendRejected},
		{"working, last", "release"}:       {state: Queued, attempt: 2},
		{"working, last", "cancel"}:        {state: Working, attempt: 3},

		{"working, to stop", "succeed"}:       {state: Done, attempt: 1},
		{"working, to stop", "passing fault"}: {state: Canceled, attempt: 1, errType: CanceledError},
		{"working, to stop", "final fault"}:   {state: Canceled, attempt: 1, errType: CanceledError},
		{"working, to stop", "release"}:       {state: Canceled, attempt: 1, errType: CanceledError},
		{"working, to stop", "cancel"}:        {state: Working, attempt: 1},
		{"working, to stop", "stop"}:          {state: Canceled, attempt: 1, errType: CanceledError},

		{"done", "cancel"}: {state: Done, attempt: 1},

		{"failed", "cancel"}: {state: Failed, attempt: 3, errType: BackendRejected},
		{"failed", "retry"}:  {state: Queued},

		{"canceled", "cancel"}: {state: Canceled, attempt: 1},
		{"canceled", "retry"}:  {state: Queued},
	}
	for name, l := range lives {
		for what, happen := range happenings {
			t.Run(name+"/"+what, func(t *testing.T) {
				got, err := happen(l)
				w, ok := want[pair{name, what}]
				if !ok {
					require.ErrorIs(t, err, ErrState)
					require.Equal(t, l, got, "a refusal changes nothing")
					return
				}
				require.NoError(t, err)
				require.Equal(t, w.state, got.state)
				require.Equal(t, w.attempt, got.attempt)
				require.Equal(t, w.runAt, got.runAt)
				if w.errType == "" {
					require.Nil(t, got.err)
				} else {
					require.Equal(t, w.errType, got.err.Type)
				}
				checkDeadlines(t, l, got, now, tm)
			})
		}
	}
}

// checkDeadlines holds what is true after every change.
func checkDeadlines(t *testing.T, before, after life, now time.Time, tm terms) {
	t.Helper()
	switch {
	case after == before:
	case after.state.Terminal():
		require.Equal(t, now, after.finishedAt)
		require.Equal(t, now.Add(tm.jobTTL), after.expiresAt)
		require.Equal(t, now.Add(tm.artifactTTL), after.artifactsExpire)
		require.Equal(t, after.artifactsExpire, after.deadline, "the earlier of the two")
		require.Equal(t, after.expiresAt, after.forgetArtifacts().deadline)
	case after.state == Queued:
		ready := now
		if !after.runAt.IsZero() {
			ready = after.runAt
		}
		require.Equal(t, ready.Add(tm.queueTimeout), after.deadline, "counted from when it is ready")
		require.Zero(t, after.startedAt)
		require.Zero(t, after.cancelRequested)
	case before.state == Queued && after.state == Working:
		require.Equal(t, now, after.startedAt)
		require.Zero(t, after.deadline, "the lease is the store's")
	}
}

func TestTermsWithoutEnd(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	l := submitted(time.Time{}, now, terms{maxAttempts: 1})
	require.Zero(t, l.deadline, "no queue timeout")
	l, err := l.start(now)
	require.NoError(t, err)
	l, err = l.succeed(now, terms{jobTTL: -1, artifactTTL: -1})
	require.NoError(t, err)
	require.Zero(t, l.deadline, "kept for ever")
	require.Zero(t, l.expiresAt)
}
