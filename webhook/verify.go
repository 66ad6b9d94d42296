package webhook

import (
	"context"
	"crypto/hmac"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	defaultTolerance = 5 * time.Minute
	defaultMaxBody   = 16 << 20
	maxSignatures    = 64      // entries of webhook-signature, of all versions
	maxSignature     = 8 << 10 // bytes of webhook-signature
)

// What [Verifier.Verify] finds wrong. Its errors wrap one of these.
var (
	// ErrNotSigned means that a header of Standard Webhooks is missing, comes more
	// than once or does not have its form: the request is not from a sender that has a
	// secret, or something on the way takes headers off.
	ErrNotSigned = errors.New("webhook: not signed as Standard Webhooks has it")
	// ErrTimestamp means that the attempt was made too long ago, or in the future: it
	// is an old request sent again, or one of the clocks is wrong.
	ErrTimestamp = errors.New("webhook: the timestamp is not of now")
	// ErrSignature means that no signature was made with any of the secrets for
	// exactly these bytes.
	ErrSignature = errors.New("webhook: no signature matches")
)

// VerifierOptions says what a [Verifier] accepts. Secrets are required.
type VerifierOptions struct {
	// Secrets are those that the sender may sign with, at least one; see the package
	// comment for their two forms. More than one is for the time in which a secret is
	// replaced.
	Secrets []string
	// Tolerance is how far webhook-timestamp may be from now, in the past and in the
	// future. Each attempt has its own, so that it need not cover retries. If it is 0,
	// 5 minutes are used.
	Tolerance time.Duration
	// MaxBody bounds the bodies that Handler reads, in bytes. If it is 0, 16 MiB are
	// used: a last event with its result and inlined artifacts fits in.
	MaxBody int64
	// Duplicate reports whether the event with this webhook-id has been handled. The
	// Handler asks it for each verified request, and accepts a duplicate without
	// another look. It only saves work: see Handler for what makes handling exact. If
	// it is nil, no event is a duplicate.
	Duplicate func(ctx context.Context, id string) (bool, error)
	// Logger gets what Handler refuses, as warnings, and what it could not handle, as
	// errors. If it is nil, [slog.Default] is used.
	Logger *slog.Logger
}

// Verifier tells what was sent by who knows a secret from what was not, by the
// headers of Standard Webhooks. It does not change and is safe for concurrent
// use.
type Verifier struct {
	keys      []*key
	tolerance time.Duration
	maxBody   int64
	duplicate func(ctx context.Context, id string) (bool, error)
	log       *slog.Logger
}

// NewVerifier returns a Verifier. It fails if there is no secret, a secret is
// empty, or starts with "whsec_" and is not base64 from there, and if Tolerance
// or MaxBody is negative.
func NewVerifier(o VerifierOptions) (*Verifier, error) {
	v := &Verifier{tolerance: o.Tolerance, maxBody: o.MaxBody, duplicate: o.Duplicate, log: o.Logger}
	if len(o.Secrets) == 0 {
		return nil, errors.New("webhook: a verifier needs a secret: give it the one that the sender signs with")
	}
	for i, s := range o.Secrets {
		if s == "" { // anyone can sign with it
			return nil, fmt.Errorf("webhook: secret %d is empty: give the one that the sender signs with", i+1)
		}
		k, err := standardKey(fmt.Sprintf("secret %d", i+1), s)
		if err != nil {
			return nil, err
		}
		v.keys = append(v.keys, k)
	}
	if v.tolerance < 0 || v.maxBody < 0 {
		return nil, errors.New("webhook: Tolerance and MaxBody cannot be negative: leave them 0 for 5 minutes and 16 MiB")
	}
	if v.tolerance == 0 {
		v.tolerance = defaultTolerance
	}
	if v.maxBody == 0 {
		v.maxBody = defaultMaxBody
	}
	if v.log == nil {
		v.log = slog.Default()
	}
	return v, nil
}

// Verify returns nil if body, to the byte, and the headers webhook-id and
// webhook-timestamp were signed with one of the secrets, and the timestamp is
// of now. One signature that matches is enough; those of versions other than v1
// are skipped. The time it takes does not tell how much of a signature was
// right.
//
// The errors are [ErrNotSigned], [ErrTimestamp] and [ErrSignature], and say what
// to do. The names in header have to be in their canonical form, as net/http has
// them.
func (v *Verifier) Verify(header http.Header, body []byte) error {
	return v.VerifyAt(time.Now(), header, body)
}

// VerifyAt is Verify for a request that was received at now: for a receiver that
// puts requests away as they come and verifies them later, and for tests.
func (v *Verifier) VerifyAt(now time.Time, header http.Header, body []byte) error {
	p, err := v.read(header, now)
	if err != nil {
		return err
	}
	return v.check(p, body)
}

// proof is what the headers of a request claim.
type proof struct {
	id         string
	timestamp  time.Time
	head       []byte // what is signed before the body
	signatures string
}

// read returns the proof in header, or says why it cannot be one, whatever the
// body is.
func (v *Verifier) read(header http.Header, now time.Time) (p proof, err error) {
	var values [3]string
	for i, name := range [...]string{"Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"} {
		got := header[name]
		if len(got) != 1 { // of two, another reader might see the other
			return p, fmt.Errorf("%w: it has %d headers %s, and needs one: see that the sender has a secret, and that "+
				"proxies pass the header on", ErrNotSigned, len(got), strings.ToLower(name))
		}
		values[i] = got[0]
	}
	id, timestamp, signatures := values[0], values[1], values[2]
	if !validID(id) {
		return p, fmt.Errorf("%w: webhook-id has to be 1 to %d visible ASCII characters without a dot", ErrNotSigned, maxMessageID)
	}
	at, ok := parseTimestamp(timestamp)
	if !ok {
		return p, fmt.Errorf("%w: webhook-timestamp has to be seconds since 1970", ErrNotSigned)
	}
	if off := now.Sub(at); off.Abs() > v.tolerance {
		return p, fmt.Errorf("%w: it is %v from the receiver's clock, and %v are allowed: see that both clocks are right",
			ErrTimestamp, off.Round(time.Second), v.tolerance)
	}
	if len(signatures) > maxSignature || strings.Count(signatures, " ") >= maxSignatures {
		return p, fmt.Errorf("%w: webhook-signature has more than %d entries or %d bytes", ErrNotSigned, maxSignatures, maxSignature)
	}
	return proof{id: id, timestamp: at, head: head(id, timestamp), signatures: signatures}, nil
}

// parseTimestamp reads what is all digits and not further away than the clocks of
// today can be wrong.
func parseTimestamp(s string) (time.Time, bool) {
	const digits = 12 // the year 33658
	seconds, err := strconv.ParseUint(s, 10, 64)
	if err != nil || len(s) > digits {
		return time.Time{}, false
	}
	return time.Unix(int64(seconds), 0), true
}

// check returns ErrSignature unless one of the signatures is of body.
func (v *Verifier) check(p proof, body []byte) error {
	matches := false
	for _, k := range v.keys {
		var room [64]byte
		want := k.standard(room[:0], p.head, body)
		for got := range strings.SplitSeq(p.signatures, " ") {
			// Compared as text: base64 has more than one text for the same bytes.
			matches = hmac.Equal([]byte(got), want) || matches
		}
	}
	if !matches {
		return fmt.Errorf("%w: see that sender and receiver have the same secret, and that the body is verified as it came, "+
			"before anything has parsed or decoded it", ErrSignature)
	}
	return nil
}
