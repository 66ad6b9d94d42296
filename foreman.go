package foreman

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/foreman-go/foreman/artifact"
	"github.com/foreman-go/foreman/webhook"
)

// Foreman is a durable queue of jobs in front of a [Backend]. Its methods are
// safe for concurrent use. Jobs are accepted from [New] on, and run while
// [Foreman.Run] does.
type Foreman struct {
	pools   []*pool
	o       Options
	byModel map[string]Limits // by the names that backends have for models
	guard   *webhook.Guard
	sender  *webhook.Sender
	hub     hub
	desk    desk
	runs    runs
	aside   sync.WaitGroup // of what a settlement does not wait for
	outbox  outbox
	reaper  alarm
	beat    alarm // rings when leases are to be renewed before it is time
	peers   peers
	checks  checks

	closeStore func() error
	mu         sync.Mutex
	stopRun    context.CancelFunc // of the Run under way, if any
	ran        chan struct{}      // closed when that Run has returned
	closed     bool
}

// New makes a Foreman in front of a backend. It opens the store and the artifact
// store that the options do not give, and starts nothing. The error says which
// of them cannot be opened and why.
//
// It makes the artifact store that of the queue in the store, if one is
// [artifact.Owned] and the other [store.Identified]: the sweeps of another queue would
// remove all that is in it. If it is another queue's, the error is [artifact.ErrOwned].
// What cannot be reached within ten seconds is asked again before anything is swept.
func New(b Backend, o *Options) (*Foreman, error) {
	if b == nil {
		return nil, errors.New("foreman: no backend")
	}
	f := &Foreman{o: o.filled()}
	var err error
	if f.pools, err = newPools(b, &f.o); err != nil {
		return nil, fmt.Errorf("foreman: %w", err)
	}
	f.limitModels()
	if o == nil || o.Store == nil || o.Artifacts == nil {
		if err := os.MkdirAll(f.o.Dir, 0o700); err != nil {
			return nil, fmt.Errorf("foreman: data directory: %w", err)
		}
	}
	if f.guard, err = webhook.NewGuard(&f.o.Webhook.Guard); err != nil {
		return nil, fmt.Errorf("foreman: %w", err)
	}
	f.sender, err = webhook.NewSender(&webhook.SenderOptions{
		Secret: f.o.Webhook.Secret, OldSecrets: f.o.Webhook.OldSecrets, Timeout: f.o.Webhook.Timeout, Guard: f.guard,
		Proxy: f.o.Webhook.Proxy, RootCAs: f.o.Webhook.RootCAs, Certificates: f.o.Webhook.Certificates,
		Now: f.now,
	})
	if err != nil {
		return nil, fmt.Errorf("foreman: webhook: %w", err)
	}
	if c := f.o.Webhook.CatchUp; c != CatchUpAll && c != CatchUpLatest {
		return nil, fmt.Errorf("foreman: webhook: CatchUp must be %q or %q, and is %q", CatchUpAll, CatchUpLatest, c)
	}
	if f.closeStore, err = f.o.open(); err != nil {
		return nil, fmt.Errorf("foreman: %w", err)
	}
	looking, cancel := context.WithTimeout(context.Background(), ownTime)
	defer cancel()
	if err := f.own(looking); errors.Is(err, artifact.ErrOwned) {
		return nil, fmt.Errorf("foreman: %w", errors.Join(err, f.closeStore()))
	}
	f.hub.init()
	f.desk.init(f)
	f.runs.init()
	f.outbox.init(f)
	f.reaper.init()
	f.beat.init()
	f.peers.init(f)
	f.checks.owners = map[string]bool{}
	return f, nil
}

// Close ends [Foreman.Run] as the end of its context does, waits for it, and
// closes the store if [New] opened it. Closing twice is not an error.
func (f *Foreman) Close() error {
	f.mu.Lock()
	f.closed = true
	stop, ran := f.stopRun, f.ran
	f.mu.Unlock()
	if stop != nil {
		stop()
		<-ran
	}
	f.desk.drain() // whoever waits in Do, or comes, is told
	f.sender.Close()
	err := f.closeStore()
	f.hub.wakeAll() // to find the store closed
	return err
}

// now is the one place that time comes from, at the resolution that is kept: the store's
// clock, if it has one of its own.
func (f *Foreman) now() time.Time {
	now := time.Now
	if f.peers.store != nil {
		now = f.peers.store.Now
	}
	return now().UTC().Truncate(time.Microsecond)
}

func (f *Foreman) terms(s *Spec) terms {
	return terms{
		maxAttempts: s.MaxAttempts, queueTimeout: s.QueueTimeout,
		jobTTL: f.o.JobTTL, artifactTTL: f.o.ArtifactTTL,
	}
}
