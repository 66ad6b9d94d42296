package foreman_test

import (
	"bytes"
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/store"
)

// interrupted is an archive in memory. Once it has the first job, something is done.
type interrupted struct {
	bytes.Buffer
	do func()
}

func (i *interrupted) Write(p []byte) (int, error) {
	if i.do != nil && bytes.Contains(p, []byte("jobs/")) {
		i.do()
		i.do = nil
	}
	return i.Buffer.Write(p)
}

// What changes while an export is under way is in it or not: it ends with an error, and no
// import takes it.
func TestExportOfWhatChanges(t *testing.T) {
	type changed struct {
		other         *foreman.Foreman
		store         store.Store
		delayed, over ulid.ULID
	}
	for name, tt := range map[string]struct {
		change func(t *testing.T, c *changed)
		hook   string // of the job that is over
		want   error
	}{
		"nothing": {change: func(*testing.T, *changed) {}},
		"a job is submitted, and is in it": {change: func(t *testing.T, c *changed) {
			submit(t, c.other, foreman.Spec{})
		}},
		"a job is canceled": {want: foreman.ErrState, change: func(t *testing.T, c *changed) {
			_, err := c.other.Cancel(t.Context(), c.delayed)
			require.NoError(t, err)
		}},
		"a job is deleted": {want: foreman.ErrState, change: func(t *testing.T, c *changed) {
			require.NoError(t, c.other.Delete(t.Context(), c.over))
		}},
		"a lane is paused": {want: foreman.ErrState, change: func(t *testing.T, c *changed) {
			require.NoError(t, c.other.Pause(t.Context(), "some lane"))
		}},
		"a webhook is sent": {want: foreman.ErrState, hook: "http://127.0.0.1:9000/hook", change: func(t *testing.T, c *changed) {
			errs, err := c.store.SettleDeliveries(t.Context(), []store.Settlement{{ID: c.over, Seq: 1, State: store.Delivered}})
			require.NoError(t, err)
			require.NoError(t, errs[0])
		}},
		"a process runs a job and ends": {want: foreman.ErrState, change: func(t *testing.T, c *changed) {
			stop := start(t, c.other)
			require.Equal(t, foreman.Done, await(t, c.other, c.delayed).State)
			stop()
		}},
		"a process is there": {want: foreman.ErrRunning, change: func(t *testing.T, c *changed) {
			start(t, c.other)
			synctest.Wait()
		}},
		"a process was there": {change: func(t *testing.T, c *changed) {
			stop := start(t, c.other)
			synctest.Wait()
			stop()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				shared := &bus{Store: openStore(t)}
				join := func() *foreman.Foreman {
					b := foreman.BackendFunc(func(context.Context, *foreman.Task) error { return nil })
					return newForeman(t, b, foreman.Options{Store: shared.join(), Webhook: foreman.WebhookOptions{Guard: loopback}})
				}
				exports := join()
				c := &changed{other: join(), store: shared}
				c.delayed = submit(t, exports, foreman.Spec{RunAt: time.Now().Add(time.Hour)})
				c.over = submit(t, exports, foreman.Spec{StateWebhookURL: tt.hook})
				_, err := exports.Cancel(t.Context(), c.over)
				require.NoError(t, err)

				archive := interrupted{do: func() { tt.change(t, c) }}
				moved, err := exports.Export(t.Context(), &archive)
				require.ErrorIs(t, err, tt.want)
				require.Nil(t, archive.do)
				_, err = newForeman(t, newGate(), foreman.Options{}).Import(t.Context(), bytes.NewReader(archive.Bytes()))
				if tt.want != nil {
					require.ErrorIs(t, err, foreman.ErrMalformed)
					return
				}
				require.NoError(t, err)
				all, err := exports.List(t.Context(), foreman.Query{Limit: 10})
				require.NoError(t, err)
				require.Len(t, all.Jobs, moved.Jobs)
			})
		})
	}
}
