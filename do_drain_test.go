package foreman_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
)

// slowToBegin is a context whose caller is held up when it has its place already, and
// derives the context of its function.
type slowToBegin struct {
	context.Context
	granted chan<- struct{}
	goOn    <-chan struct{}
}

func (s slowToBegin) Value(key any) any {
	select {
	case s.granted <- struct{}{}:
	default:
	}
	<-s.goOn
	return s.Context.Value(key)
}

// When the time of a drain is over, the context of a call of Do ends, with a cause, and
// Run ends when the call has returned.
func TestDoInAHardStop(t *testing.T) {
	model := foreman.Spec{Model: "m"}
	const drain = 10 * time.Second
	for name, slow := range map[string]bool{"when it runs": false, "when it has only just got its place": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newForeman(t, newGate(), foreman.Options{DrainTimeout: drain})
				stop := start(t, f)
				ctx := t.Context()
				granted := make(chan struct{}, 1)
				goOn, letGoOn := latch()
				defer letGoOn()
				if slow {
					ctx = slowToBegin{ctx, granted, goOn}
				}
				called := make(chan error, 1)
				go func() {
					called <- f.Do(ctx, model, func(ctx context.Context, _ foreman.Turn) error {
						if !slow {
							granted <- struct{}{}
						}
						select {
						case <-ctx.Done():
							return context.Cause(ctx)
						case <-time.After(time.Hour):
							return nil
						}
					})
				}()
				<-granted
				begun := time.Now()
				if slow {
					time.AfterFunc(2*drain, letGoOn)
				}
				stop()
				if slow {
					require.Equal(t, 2*drain, time.Since(begun))
				} else {
					require.Equal(t, drain, time.Since(begun))
				}
				require.EqualError(t, <-called, "given_back", "what its function returned")

				start(t, f)
				synctest.Wait()
				require.NoError(t, f.Do(t.Context(), model, func(ctx context.Context, _ foreman.Turn) error { return ctx.Err() }),
					"the end of one Run is nothing to the next")
			})
		})
	}
}

// A call that comes during a drain is refused at once, and one that waits then as well.
func TestDoInADrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		model := foreman.Spec{Model: "m"}
		g := newGate()
		f := newForeman(t, g, foreman.Options{DrainTimeout: time.Hour})
		stop := start(t, f)
		id := submit(t, f, foreman.Spec{})
		<-g.began
		refused := make(chan error, 2)
		go func() { refused <- f.Do(t.Context(), model, nil) }()
		synctest.Wait()
		stopped := make(chan struct{})
		go func() { stop(); close(stopped) }()
		begun := time.Now()
		require.ErrorIs(t, <-refused, foreman.ErrUnavailable, "it waited")
		require.ErrorIs(t, f.Do(t.Context(), model, nil), foreman.ErrUnavailable, "it came later")
		require.Less(t, time.Since(begun), time.Second)
		select {
		case <-stopped:
			require.Fail(t, "a job runs still")
		default:
		}
		g.end <- nil
		<-stopped
		require.Equal(t, foreman.Done, status(t, f, id).State)
		require.ErrorIs(t, f.Do(t.Context(), model, nil), foreman.ErrUnavailable, "between two Runs")
	})
}
