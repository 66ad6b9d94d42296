package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/foreman-go/foreman"
)

// Bounds on a connection. Once a request has been read, it can wait for its answer as
// long as its handler lets it: some answers are streams.
const (
	headerTimeout  = 10 * time.Second
	requestTimeout = 5 * time.Minute // with the body
	idleTimeout    = 2 * time.Minute
	mostHeader     = 64 << 10 // bytes
)

// What requests may still take once no job runs any more: those that wait for one to
// say how it ended, and then all others to come to their end.
const (
	lastNews    = 500 * time.Millisecond
	lastAnswers = 5 * time.Second
)

// serve serves HTTP and runs jobs until ctx ends. Then it takes no more requests,
// lets what runs end or be put back, as [foreman.Foreman.Run] does, ends the requests
// that wait for more, and returns.
func serve(ctx context.Context, ln net.Listener, h http.Handler, f *foreman.Foreman, log *slog.Logger) error {
	requests, endRequests := context.WithCancel(context.WithoutCancel(ctx))
	defer endRequests()
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       requestTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    mostHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		BaseContext:       func(net.Listener) context.Context { return requests },
	}
	running, stopRunning := context.WithCancel(context.WithoutCancel(ctx))
	defer stopRunning()
	var all sync.WaitGroup
	var serving, jobs error
	broken := make(chan struct{})
	all.Go(func() {
		defer close(broken)
		if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			serving = err
		}
	})
	ran := make(chan struct{})
	all.Go(func() {
		defer close(ran)
		jobs = f.Run(running)
	})
	select {
	case <-ctx.Done():
		log.Info("told to end; what runs may end first, and a second signal ends it at once")
	case <-broken:
	}

	closing, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	closed := make(chan struct{})
	all.Go(func() {
		defer close(closed)
		if srv.Shutdown(closing) != nil {
			_ = srv.Close()
		}
	})
	stopRunning()
	<-ran
	await(closed, lastNews)
	endRequests()
	await(closed, lastAnswers)
	giveUp()
	all.Wait()
	log.Info("ended")
	return errors.Join(serving, jobs)
}

func await(closed <-chan struct{}, atMost time.Duration) {
	t := time.NewTimer(atMost)
	defer t.Stop()
	select {
	case <-closed:
	case <-t.C:
	}
}
