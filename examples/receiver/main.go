// Receiver is an endpoint for webhooks: it refuses what is not signed with the secret
// that it shares with the sender, and keeps the newest state of each job in a file,
// once, however often an event comes.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/webhook"
)

const secret = "a secret of at least 24 random bytes"

// receiver keeps the last event of each job.
type receiver struct {
	db   *bbolt.DB
	done chan struct{} // has a value when a job has come to a terminal state
}

var jobs = []byte("jobs")

// keep puts an event down, unless it or a later one is there. That it was handled is
// written in the transaction of its effect; here it is the same record.
func (r *receiver) keep(_ context.Context, d webhook.Received) error {
	var last webhook.Event
	err := r.db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(jobs)
		if err != nil {
			return err
		}
		id := []byte(d.Event.JobID)
		if v := b.Get(id); v != nil {
			if err := json.Unmarshal(v, &last); err != nil {
				return err
			}
		}
		if d.Event.Sequence <= last.Sequence {
			return nil
		}
		return b.Put(id, d.Body)
	})
	if err != nil {
		return err // 500: it comes again
	}
	if d.Event.Sequence > last.Sequence {
		fmt.Printf("%d: %s\n", d.Event.Sequence, d.Event.State)
		if d.Event.State == string(foreman.Done) {
			r.done <- struct{}{}
		}
	}
	return nil // 204: it is ours now
}

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	dir, err := os.MkdirTemp("", "receiver-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	db, err := bbolt.Open(filepath.Join(dir, "jobs.db"), 0o600, nil)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	r := &receiver{db: db, done: make(chan struct{}, 1)}

	v, err := webhook.NewVerifier(webhook.VerifierOptions{Secrets: []string{secret}})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/webhooks", v.Handler(r.keep))
	srv := &http.Server{Handler: mux, ReadTimeout: 15 * time.Second}

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer func() { _ = srv.Close() }()
	go func() { _ = srv.Serve(listener) }()
	return send("http://"+listener.Addr().String()+"/webhooks", r.done)
}

// send is the other side: a Foreman with one job that does nothing.
func send(url string, done <-chan struct{}) error {
	dir, err := os.MkdirTemp("", "foreman-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	nothing := foreman.BackendFunc(func(context.Context, *foreman.Task) error { return nil })
	f, err := foreman.New(nothing, &foreman.Options{Dir: dir, Webhook: foreman.WebhookOptions{
		Secret: secret,
		Guard: webhook.GuardOptions{ // only public addresses otherwise
			Prefixes: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		},
	}})
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { _ = f.Run(ctx) }()
	if _, err := f.Submit(ctx, foreman.Spec{Model: "nothing", StateWebhookURL: url}); err != nil {
		return err
	}
	<-done
	return nil
}
