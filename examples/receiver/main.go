// Receiver is an endpoint for webhooks: it refuses what is not signed with the secret
// that it shares with the sender, and tells events that it has seen from new ones.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/webhook"
)

const secret = "a secret of at least 24 random bytes"

// receiver handles webhooks. A delivery may come more than once, with the same
// webhook-id each time.
type receiver struct {
	mu   sync.Mutex
	seen map[string]bool
	done chan struct{} // closed at the terminal state
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, 8<<20))
	if err != nil {
		http.Error(w, "cannot read the body", http.StatusBadRequest)
		return
	}
	if !webhook.VerifySignature(body, req.Header.Get("X-Foreman-Signature"), secret) {
		http.Error(w, "not signed by whom it should be", http.StatusUnauthorized)
		return
	}
	var e webhook.Event
	if err := json.Unmarshal(body, &e); err != nil {
		http.Error(w, "not an event", http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if id := req.Header.Get("webhook-id"); !r.seen[id] {
		r.seen[id] = true
		fmt.Printf("%d: %s\n", e.Sequence, e.State)
		if e.State == string(foreman.Done) {
			close(r.done)
		}
	}
	w.WriteHeader(http.StatusNoContent) // any 2xx: it is ours now
}

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	r := &receiver{seen: map[string]bool{}, done: make(chan struct{})}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: r, ReadHeaderTimeout: 10 * time.Second}
	defer func() { _ = srv.Close() }()
	go func() { _ = srv.Serve(listener) }()
	return send("http://"+listener.Addr().String(), r.done)
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
