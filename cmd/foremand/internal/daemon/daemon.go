// Package daemon is foremand: its settings, who may use it, and what it serves.
package daemon

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/ollama"
)

// The exit codes.
const (
	endedWell = 0
	failed    = 1
	misused   = 2
)

// Main runs foremand with arguments and an environment in the form of [os.Environ],
// until it is told to end by SIGTERM or SIGINT, or moves jobs if the first argument is
// export or import, and returns the exit code: 0 for an
// end as asked for, 1 when something went wrong, 2 for a setting that is wrong. What
// went wrong is one sentence on stderr. A second signal exits at once with 1.
func Main(args, environ []string, stdout, stderr io.Writer) int {
	c, err := load(args, environ)
	switch {
	case errors.Is(err, flag.ErrHelp):
		usage(stdout)
		return endedWell
	case err != nil:
		fmt.Fprintf(stderr, "foremand: %v\n", err)
		return misused
	case c.version:
		fmt.Fprintf(stdout, "foremand %s %s\n", version(), runtime.Version())
		return endedWell
	}
	ctx, stop := untilSignal()
	defer stop()
	if c.move != "" {
		err = runMove(ctx, c, stdout, stderr)
	} else {
		err = run(ctx, c, stdout, stderr)
	}
	if err != nil {
		fmt.Fprintf(stderr, "foremand: %v\n", err)
		if _, ok := errors.AsType[*settingError](err); ok {
			return misused
		}
		return failed
	}
	return endedWell
}

// untilSignal returns a context that ends with the first signal. The second one ends
// the process.
func untilSignal() (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	stopped := make(chan struct{})
	go func() {
		for range 2 {
			select {
			case <-signals:
				if ctx.Err() != nil {
					os.Exit(failed)
				}
				cancel()
			case <-stopped:
				return
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(stopped)
		cancel()
	}
}

// settingError is about a setting whose value shows to be wrong only when it is used.
type settingError struct{ error }

func (e *settingError) Unwrap() error { return e.error }

// run opens everything, says so, and serves until ctx ends.
func run(ctx context.Context, c *config, stdout, stderr io.Writer) (err error) {
	log := newLogger(c.logFormat, stderr)
	var callers tokens
	if c.tokensFile != "" {
		if callers, err = loadTokens(c.tokensFile, log); err != nil {
			return &settingError{err}
		}
	}
	hooks, err := c.webhooks(log)
	if err != nil {
		return &settingError{err}
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.addr)
	if err != nil {
		return fmt.Errorf("%w; stop what listens there, or give another -addr", err)
	}
	front := newFront(ctx, ln, log)
	defer front.close() // for the ways out before the end
	var dev *trial
	if c.dev {
		if dev, err = newTrial(c, stdout); err != nil {
			return err
		}
	} else {
		c.webhookGuard.Own = append(c.webhookGuard.Own, addrPort(ln.Addr())) // no webhook may submit jobs here
	}
	hooks.Secret, hooks.Guard = c.webhookSecret, c.webhookGuard
	pools, err := c.pools(log)
	if err != nil {
		return err
	}
	where, err := c.open(ctx, log)
	switch {
	case err != nil && ctx.Err() != nil:
		log.Info("told to end before what is needed to start was there")
		return nil
	case err != nil:
		return err
	}
	defer func() { err = errors.Join(err, where.close()) }()
	o := foreman.Options{
		Dir: c.data, Logger: log,
		Slots: c.slots, PerSlot: c.perSlot, MaxWait: c.maxWait, MaxWaiting: c.maxCallers, Models: c.models,
		JobTTL: c.jobTTL, ArtifactTTL: c.artifactTTL,
		Webhook: hooks,
		BaseURL: c.publicURL, TrustForwarded: c.trustForwarded,
	}
	where.in(&o)
	f, err := foreman.New(pools, &o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	gateway := ollama.Handler(f, &ollama.HandlerOptions{
		MaxWait: c.maxCallerWait, MaxBodies: int64(c.maxCallerBodies) << 20, AllowChanges: c.allowChanges,
	})
	front.open(routes(f, gateway, callers, dev))
	fmt.Fprintf(stdout, "listening on http://%s\n", ln.Addr())
	log.Info("foremand listens", "addr", ln.Addr().String(), "data", c.data, "version", version())
	dev.introduce(c, ln.Addr())
	return serve(ctx, front, f, log)
}

// addrPort is where a TCP listener listens.
func addrPort(addr net.Addr) netip.AddrPort { return addr.(*net.TCPAddr).AddrPort() }

func newLogger(format string, w io.Writer) *slog.Logger {
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, nil))
	}
	return slog.New(slog.NewTextHandler(w, nil))
}
