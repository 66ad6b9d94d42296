package daemon

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/foreman-go/foreman"
)

// What requests may still take once no job runs any more: those that wait for one to
// say how it ended, and then all others to come to their end.
const (
	lastNews    = 500 * time.Millisecond
	lastAnswers = 5 * time.Second
)

// serve runs jobs until ctx ends. Then it has front take no more requests, lets what runs
// end or be put back, as [foreman.Foreman.Run] does, ends the requests that wait for more,
// and returns.
func serve(ctx context.Context, front *front, f *foreman.Foreman, log *slog.Logger) error {
	running, stopRunning := context.WithCancel(context.WithoutCancel(ctx))
	defer stopRunning()
	var all sync.WaitGroup
	var jobs error
	ran := make(chan struct{})
	all.Go(func() {
		defer close(ran)
		jobs = f.Run(running)
	})
	select {
	case <-ctx.Done():
		log.Info("told to end; what runs may end first, and a second signal ends it at once")
	case <-front.broken:
	}

	closing, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	closed := make(chan struct{})
	all.Go(func() {
		defer close(closed)
		if front.server.Shutdown(closing) != nil {
			_ = front.server.Close()
		}
	})
	stopRunning()
	<-ran
	await(closed, lastNews)
	front.cut()
	await(closed, lastAnswers)
	giveUp()
	all.Wait()
	<-front.broken
	log.Info("ended")
	return errors.Join(front.err, jobs)
}

func await(closed <-chan struct{}, atMost time.Duration) {
	t := time.NewTimer(atMost)
	defer t.Stop()
	select {
	case <-closed:
	case <-t.C:
	}
}
