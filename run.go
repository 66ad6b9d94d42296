package foreman

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Run runs jobs and delivers webhooks until ctx ends or [Foreman.Close] is called.
// It owns every goroutine of a Foreman: there is none before, and none after.
//
// Then it stops claiming, gives back what was claimed and not begun, and lets what
// runs go on for up to [Options.DrainTimeout]. After that the contexts of attempts
// end, and their jobs are queued again without the attempt being counted. Run waits
// for the backend to return from them.
//
// It returns nil after such an end, and [ErrRunning] if Run is under way already. It
// can be called again.
func (f *Foreman) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ran := make(chan struct{})
	f.mu.Lock()
	switch {
	case f.closed:
		f.mu.Unlock()
		return fmt.Errorf("run: %w: closed", ErrUnavailable)
	case f.stopRun != nil:
		f.mu.Unlock()
		return fmt.Errorf("run: %w", ErrRunning)
	}
	f.stopRun, f.ran = stop, ran
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.stopRun = nil
		f.mu.Unlock()
		close(ran)
	}()
	f.runJobs(ctx)
	return nil
}

// settleGrace is how long the results of a drain may take to be stored.
const settleGrace = 5 * time.Second

func (f *Foreman) runJobs(ctx context.Context) {
	f.desk.reopen()
	f.runs.reopen()
	var claiming, delivering, working, settling, keeping sync.WaitGroup
	over := make(chan *attempt, unsettled)

	// keep outlives ctx: leases are renewed and results stored until the last
	// attempt is over.
	keep, stopKeeping := context.WithCancel(context.WithoutCancel(ctx))
	defer stopKeeping()
	// giveBack has attempts that were not begun settled as if they had not been.
	giveBack := func(unrun []*attempt) {
		for _, a := range unrun {
			a.stop(errGivenBack)
			a.execute(keep) // does not call the backend, since it was stopped before
			over <- a
		}
	}
	settling.Go(func() { f.settle(ctx, keep, over) })
	keeping.Go(func() { f.heartbeat(keep) })
	keeping.Go(func() { f.peers.run(keep) })
	keeping.Go(func() { f.peers.work(keep) })

	for _, p := range f.pools {
		if c, ok := p.Backend.(Checker); ok {
			p.down.Store(true) // before anything can be claimed
			claiming.Go(func() { f.watchBackend(ctx, p, c) })
		}
		if b, ok := p.Backend.(Follower); ok {
			claiming.Go(func() { b.Follow(ctx, f.desk.wake) })
		}
	}
	claiming.Go(func() { f.desk.run(ctx, giveBack) })
	claiming.Go(func() { f.reap(ctx) })
	delivering.Go(func() { f.outbox.run(ctx) })
	claiming.Go(func() { f.keepSweeping(ctx) })
	for _, s := range f.desk.slots {
		for range f.mostPerSlot(s.pool) {
			working.Go(func() { f.work(keep, s, over) })
		}
	}

	<-ctx.Done()
	claiming.Wait() // nothing is claimed any more
	giveBack(f.desk.drain())
	hard := time.AfterFunc(f.o.DrainTimeout, f.runs.hardStop)
	working.Wait()
	f.desk.waitForCalls()
	hard.Stop()
	delivering.Wait()
	giveUp := time.AfterFunc(settleGrace, stopKeeping)
	f.runs.unsettled.Wait()
	close(over)
	settling.Wait()
	f.aside.Wait()
	giveUp.Stop()
	stopKeeping()
	keeping.Wait()
}

// work runs attempts, one at a time, in a place of a slot.
func (f *Foreman) work(ctx context.Context, s *slot, over chan<- *attempt) {
	for {
		a := f.desk.next(s)
		if a == nil {
			return
		}
		begun := time.Now()
		a.execute(ctx)
		f.desk.over(s, a, time.Since(begun))
		over <- a
	}
}
