package ollama

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"sync"

	"github.com/foreman-go/foreman"
)

// newProxies are what passes callers on to a server, one for each form of errors.
func (b *Backend) newProxies() (out [forms]*httputil.ReverseProxy) {
	buffers := &buffers{}
	for f := range form(forms) {
		out[f] = b.newProxy(f, b.callers, buffers)
	}
	return out
}

func (b *Backend) newProxy(f form, to http.RoundTripper, buffers httputil.BufferPool) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Transport:  to,
		BufferPool: buffers,
		// An answer of unknown length is a stream, and flushed piece by piece. Others are
		// sent when they are there, the header not before the body.
		FlushInterval: 0,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(b.url)
			withoutOurs(r.Out.Header)
		},
		ModifyResponse: func(r *http.Response) error {
			for _, name := range []string{positionHeader, waitHeader, appliedHeader} {
				r.Header.Del(name) // of another Foreman behind this one
			}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) { b.noAnswer(w, r, f, err) },
		ErrorLog:     slog.NewLogLogger(b.log.Handler(), slog.LevelWarn),
	}
}

// withoutOurs takes off a header what is not for a server. An Idempotency-Key would
// make net/http send a call again that may be under way already.
func withoutOurs(h http.Header) {
	for _, name := range []string{"Origin", "Prefer", "Expect", "Idempotency-Key", "X-Idempotency-Key"} {
		h.Del(name)
	}
}

// noAnswer tells a caller that no answer has come.
func (b *Backend) noAnswer(w http.ResponseWriter, r *http.Request, f form, err error) {
	cause := context.Cause(r.Context())
	if _, ok := errors.AsType[foreman.Code](cause); ok { // the Foreman has to end, not the caller
		cause = foreman.ErrUnavailable
	}
	if cause != nil {
		turnedAway(w, f, "", cause)
		return
	}
	b.log.Warn("the model server did not answer a caller", "error", err)
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		f.fail(w, http.StatusBadGateway, fmt.Sprintf("cannot reach the model server at %s: is it running?", b.url))
		return
	}
	f.fail(w, http.StatusBadGateway, "the model server ended the connection before it answered")
}

// buffers are what answers are copied through, used again and again.
type buffers struct{ pool sync.Pool }

const bufferSize = 32 << 10

// Get gets one.
func (p *buffers) Get() []byte {
	if b, ok := p.pool.Get().(*[bufferSize]byte); ok {
		return b[:]
	}
	return make([]byte, bufferSize)
}

// Put puts one back.
func (p *buffers) Put(b []byte) { p.pool.Put((*[bufferSize]byte)(b)) }
