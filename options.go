package foreman

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/foreman-go/foreman/artifact"
	"github.com/foreman-go/foreman/store"
	"github.com/foreman-go/foreman/store/bolt"
	"github.com/foreman-go/foreman/webhook"
)

// Options are for [New]. Nil stands for the zero value.
type Options struct {
	// Dir is the directory for whichever of Store and Artifacts is not given:
	// the file foreman.db and the directory artifacts. It is created if need
	// be, and no other process can use either of them. If Dir is empty,
	// foreman-data is used.
	Dir string
	// Store keeps the jobs. [Foreman.Close] closes it only if New opened it. If
	// Store is nil, a bbolt file in Dir is used.
	Store store.Store
	// Artifacts keeps the outputs. One that is an [artifact.Spooler] also keeps what an
	// attempt has generated when it does not end well, as the artifact partial. If
	// Artifacts is nil, a directory in Dir is used, which is one.
	Artifacts artifact.Store
	// Logger gets what nobody else is told. Payloads and secrets are never
	// logged. If Logger is nil, slog.Default() is used.
	Logger *slog.Logger

	// Slots is how many lanes are served at once: how many models the backend
	// can hold, or each of [Pools] that does not say. If Slots is 0, 1 is used.
	Slots int
	// PerSlot is how many jobs run at once in a slot. If PerSlot is 0, 1 is used.
	PerSlot int
	// MaxWait is how long a lane can wait for a slot that keeps serving another
	// one. If MaxWait is 0, two minutes is used.
	MaxWait time.Duration
	// Models are limits of single models, by name, in place of those of all.
	Models map[string]Limits
	// MaxWaiting is how many callers of [Foreman.Do] can wait at once. When so many do,
	// one who comes takes the place of one whose owner has more of them waiting. If
	// MaxWaiting is 0, 512 is used.
	MaxWaiting int

	// MaxAttempts is for jobs that do not say. If MaxAttempts is 0, 3 is used.
	MaxAttempts int
	// RetryDelay is waited before the second attempt, twice as long before the
	// third and so on, up to MaxRetryDelay, each 20 % more or less. If RetryDelay
	// is 0, one second is used; if MaxRetryDelay is 0, five minutes.
	RetryDelay, MaxRetryDelay time.Duration
	// RunTimeout is for jobs that do not say; negative for none. If RunTimeout
	// is 0, one hour is used.
	RunTimeout time.Duration
	// Lease is how long a job stays with a process that is not heard of; it is
	// renewed three times in that time or more often; at least 100 ms. If Lease is 0, ten seconds
	// is used.
	Lease time.Duration
	// DrainTimeout is how long [Foreman.Run] lets running jobs go on once its
	// context has ended. If DrainTimeout is 0, 20 seconds is used.
	DrainTimeout time.Duration

	// JobTTL is how long a job is kept once it has ended; negative for ever. If
	// JobTTL is 0, seven days is used.
	JobTTL time.Duration
	// ArtifactTTL is how long the data of artifacts is kept once the job has
	// ended; negative for as long as the job. If ArtifactTTL is 0, three days is
	// used.
	ArtifactTTL time.Duration

	// MaxInput bounds [Spec].Input in bytes. If MaxInput is 0, 16 MiB is used.
	MaxInput int
	// MaxResult bounds the result of a job in bytes. If MaxResult is 0, 1 MiB is
	// used.
	MaxResult int
	// MaxArtifact bounds one artifact in bytes. If MaxArtifact is 0, 1 GiB is used.
	MaxArtifact int64
	// MaxArtifacts bounds the number of artifacts that an attempt can write, beside the
	// artifact partial of those before it. If MaxArtifacts is 0,
	// 64 is used.
	MaxArtifacts int

	// Webhook is about webhooks.
	Webhook WebhookOptions

	// BaseURL stands before the links in webhooks, such as
	// https://jobs.example.com/api. If BaseURL is empty, these are as they would
	// be in the answer to the request that submitted the job; without a request,
	// they begin with /jobs.
	BaseURL string
	// TrustForwarded makes the handler believe X-Forwarded-Proto,
	// X-Forwarded-Host and X-Forwarded-Prefix for the links it hands out. Set it
	// only behind a proxy that sets or removes these. The default is false.
	TrustForwarded bool
}

// WebhookOptions are the part of [Options] about webhooks.
type WebhookOptions struct {
	// Secret signs every webhook. If Secret is empty, none is signed.
	Secret string
	// OldSecrets sign every webhook too, each until it expires, while receivers change
	// from them to Secret. If OldSecrets is empty, there are none.
	OldSecrets []webhook.OldSecret
	// Guard says what webhooks may reach, when a URL is handed in and again on
	// every attempt. If Guard is empty, only public addresses are reached.
	Guard webhook.GuardOptions
	// Timeout bounds one attempt. If Timeout is 0, 15 seconds is used.
	Timeout time.Duration
	// Schedule holds the gaps between attempts, each 20 % more or less. If
	// Schedule is nil, [webhook.DefaultSchedule] is used: five retries.
	Schedule webhook.Schedule
	// Concurrency is how many deliveries are under way at once, and PerEndpoint
	// how many of them to one endpoint at most: fewer to one that is new, slow or
	// failing. If Concurrency is 0, 128 is used; if PerEndpoint is 0, 32.
	Concurrency, PerEndpoint int
	// Breaker says when an endpoint is left alone as a whole.
	Breaker Breaker
	// CatchUp says what is sent of several events of a job that are overdue. If
	// CatchUp is empty, [CatchUpAll] is used.
	CatchUp CatchUp

	// Proxy, an http or https URL, is what webhooks are sent through: see
	// [webhook.SenderOptions]. Its faults do not count as attempts at a delivery, for
	// three days at most. If Proxy is nil, there is none, whatever the environment
	// says.
	Proxy *url.URL
	// RootCAs are whom receivers have to be certified by. If it is nil, those of the
	// system.
	RootCAs *x509.CertPool
	// Certificates are shown to receivers that ask for one.
	Certificates []tls.Certificate
}

// Breaker says when an endpoint that keeps failing is left alone as a whole. Nothing
// that is to be sent to it is dropped meanwhile, and nothing counts as tried but what is
// sent to see whether it is back; whoever is to see to it finds it in the log.
type Breaker struct {
	// Failures is how many attempts in a row have to fail, of whichever jobs: without
	// an answer, or with 408, 429 or 5xx. If Failures is 0, 5 is used; negative for
	// never.
	Failures int
	// Delay is how long the endpoint is left alone the first time; then one attempt
	// shows whether it is back, and each time it is not it is left alone for twice as
	// long, up to MaxDelay, 20 % more or less. If Delay is 0, ten seconds is used; if
	// MaxDelay is 0, five minutes.
	Delay, MaxDelay time.Duration
}

// CatchUp says what is sent of several events of one job that are overdue, because an
// attempt has failed or a minute has passed.
type CatchUp string

// What can be sent. The event of an end is always sent.
const (
	CatchUpAll    CatchUp = "all"    // each of them, in order
	CatchUpLatest CatchUp = "latest" // the latest, and those of ends: others are superseded
)

func or[T comparable](v, standard T) T {
	var zero T
	if v == zero {
		return standard
	}
	return v
}

// filled returns the options with their defaults.
func (o *Options) filled() Options {
	var f Options
	if o != nil {
		f = *o
	}
	f.Dir = or(f.Dir, "foreman-data")
	f.Logger = or(f.Logger, slog.Default())
	f.Slots = max(or(f.Slots, 1), 1)
	f.PerSlot = max(or(f.PerSlot, 1), 1)
	f.MaxWait = or(f.MaxWait, 2*time.Minute)
	f.MaxWaiting = or(f.MaxWaiting, 512)
	f.MaxAttempts = min(max(or(f.MaxAttempts, 3), 1), maxAttempts)
	f.RetryDelay = or(f.RetryDelay, time.Second)
	f.MaxRetryDelay = or(f.MaxRetryDelay, 5*time.Minute)
	f.RunTimeout = or(f.RunTimeout, time.Hour)
	f.Lease = max(or(f.Lease, 10*time.Second), 100*time.Millisecond)
	f.DrainTimeout = or(f.DrainTimeout, 20*time.Second)
	f.JobTTL = or(f.JobTTL, 7*24*time.Hour)
	f.ArtifactTTL = or(f.ArtifactTTL, 3*24*time.Hour)
	f.MaxInput = or(f.MaxInput, 16<<20)
	f.MaxResult = or(f.MaxResult, 1<<20)
	f.MaxArtifact = or(f.MaxArtifact, 1<<30)
	f.MaxArtifacts = or(f.MaxArtifacts, 64)
	f.BaseURL = strings.TrimRight(f.BaseURL, "/")
	f.Webhook.Timeout = or(f.Webhook.Timeout, 15*time.Second)
	if f.Webhook.Schedule == nil {
		f.Webhook.Schedule = webhook.DefaultSchedule()
	}
	f.Webhook.Concurrency = max(or(f.Webhook.Concurrency, 128), 1)
	f.Webhook.PerEndpoint = max(or(f.Webhook.PerEndpoint, 32), 1)
	f.Webhook.Breaker.Failures = or(f.Webhook.Breaker.Failures, 5)
	f.Webhook.Breaker.Delay = or(f.Webhook.Breaker.Delay, 10*time.Second)
	f.Webhook.Breaker.MaxDelay = max(or(f.Webhook.Breaker.MaxDelay, 5*time.Minute), f.Webhook.Breaker.Delay)
	f.Webhook.CatchUp = or(f.Webhook.CatchUp, CatchUpAll)
	return f
}

// open opens what was not given, and returns what closes it again. The store is opened
// first and closed last: whoever has it has the directory too.
func (o *Options) open() (func() error, error) {
	closeStore, closeArtifacts := func() error { return nil }, func() error { return nil }
	if o.Store == nil {
		s, err := bolt.Open(filepath.Join(o.Dir, "foreman.db"), nil)
		if err != nil {
			return nil, err
		}
		o.Store, closeStore = s, s.Close
	}
	if o.Artifacts == nil {
		d, err := artifact.OpenDir(filepath.Join(o.Dir, "artifacts"))
		if err != nil {
			return nil, errors.Join(err, closeStore())
		}
		o.Artifacts, closeArtifacts = d, d.Close
	}
	return func() error { return errors.Join(closeArtifacts(), closeStore()) }, nil
}
