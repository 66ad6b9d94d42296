package ollama

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/internal/prefer"
)

// What an answer says of the turn that it was given in.
const (
	positionHeader = "X-Foreman-Queue-Position"
	waitHeader     = "X-Foreman-Wait"
	appliedHeader  = "Preference-Applied"
)

// busy is how Ollama says it.
const busy = "server busy, please try again.  maximum pending requests exceeded"

// statusCanceled is what Ollama answers when the request's context has ended.
const statusCanceled = 499

// inTurn answers a call that keeps a model busy.
func (s *surface) inTurn(w http.ResponseWriter, r *http.Request, f form) {
	body, release, err := s.readBody(w, r)
	if err != nil {
		refuseBody(w, f, err)
		return
	}
	defer release()
	model := modelOf(body)
	switch {
	case model == "":
		s.withoutModel(w, withBody(r.Context(), r, body), f)
		return
	case prefer.Async(r.Header):
		s.async(w, r, f, model, body)
		return
	}
	withoutDeadlines(w)
	s.find(r.Context(), model)
	servers := s.serving(model)
	if len(servers) == 0 { // another kind of backend serves it, or nothing does
		noModel(w, f, model)
		return
	}
	if s.atOnce(w, r, f, servers, model, body) {
		return
	}
	if err := allHang(r.Context(), servers); err != nil {
		hanging(w, f, err)
		return
	}
	spec := foreman.Spec{Model: model, Owner: foreman.CallerFrom(r.Context()).Owner, QueueTimeout: s.maxWait(w, r)}
	if priority, ok := prefer.Priority(r.Header); ok {
		spec.Priority = priority
		w.Header().Add(appliedHeader, priorityPreference(priority))
	}
	if !onV1(r.URL.Path) {
		spec.Input = body // has options that the model is loaded with
		if unloads(r.URL.Path, body) {
			if input, ok := asHeld(servers, model); ok {
				spec.Input = input
			}
		}
	}
	err = s.f.Do(r.Context(), spec, func(ctx context.Context, t foreman.Turn) error {
		w.Header().Set(positionHeader, strconv.Itoa(t.Position))
		w.Header().Set(waitHeader, strconv.FormatFloat(t.Waited.Seconds(), 'f', 3, 64))
		u, ok := t.Backend.(Upstream)
		if !ok || u.Server().api != OllamaAPI && !onV1(r.URL.Path) { // it is not with those that have the path
			noModel(w, f, model)
			return nil
		}
		b := u.Server()
		if err := b.hangs(ctx); err != nil { // as has turned out while the call waited
			hanging(w, f, err)
			return nil
		}
		b.proxies[f].ServeHTTP(s.impatient(w), withBody(ctx, r, body))
		return nil
	})
	if err != nil {
		turnedAway(w, f, model, err)
	}
}

// noModel says that there is no such model, as Ollama does.
func noModel(w http.ResponseWriter, f form, model string) {
	f.fail(w, http.StatusNotFound, fmt.Sprintf("model '%s' not found", model))
}

func priorityPreference(n int) string { return fmt.Sprintf("priority=%d", n) }

// find has the servers asked that a model may be for, if none is known to have it.
func (s *surface) find(ctx context.Context, model string) {
	for _, one := range s.servers {
		if one.has(model) {
			one.fleet.find(ctx, model)
		}
	}
}

// noWait is how long a call waits that prefers not to: what it takes to find out whether
// there is a free place, which may have to be looked up in the store.
const noWait = 50 * time.Millisecond

// maxWait is how long a call may wait for its turn; 0 for as long as it takes.
func (s *surface) maxWait(w http.ResponseWriter, r *http.Request) time.Duration {
	const most = math.MaxInt32 * time.Second
	if prefer.NoWait(r.Header) {
		w.Header().Set(appliedHeader, "wait=0")
		return noWait
	}
	preferred := prefer.Wait(r.Header, most)
	if preferred == 0 || s.o.MaxWait > 0 && s.o.MaxWait < preferred {
		return s.o.MaxWait
	}
	w.Header().Set(appliedHeader, fmt.Sprintf("wait=%d", preferred/time.Second))
	return preferred
}

// withoutModel has a call refused that names no model, by a server that knows how. One
// of OpenAI's API may not refuse it: it would be answered out of turn.
func (s *surface) withoutModel(w http.ResponseWriter, r *http.Request, f form) {
	var ollama []server
	for _, one := range s.serversOf(r.URL.Path) {
		if one.api == OllamaAPI {
			ollama = append(ollama, one)
		}
	}
	if len(ollama) == 0 {
		f.fail(w, http.StatusBadRequest, "you must provide a model parameter")
		return
	}
	s.passOn(w, r, f, ollama)
}

// withoutDeadlines lifts the limits that the server has on reading a request, which has
// been read, and on writing the answer: they would count the wait, and a deadline of
// reading that passes is taken for a caller that has hung up. Each write of the answer gets a
// limit of its own.
func withoutDeadlines(w http.ResponseWriter) {
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Time{}) // a recorder knows no deadlines
	_ = c.SetWriteDeadline(time.Time{})
}

// allHang tells why a call would wait in vain: every server that it could be for hangs.
func allHang(ctx context.Context, servers []server) (err error) {
	for _, one := range servers {
		if err = one.hangs(ctx); err == nil {
			return nil
		}
	}
	return err
}

func hanging(w http.ResponseWriter, f form, err error) {
	w.Header().Set("Retry-After", "5")
	f.fail(w, http.StatusServiceUnavailable, strings.TrimPrefix(err.Error(), "ollama: "))
}

func refuseBody(w http.ResponseWriter, f form, err error) {
	status := http.StatusBadRequest
	if e, ok := errors.AsType[*bodyError](err); ok {
		status = e.status
	}
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
	}
	f.fail(w, status, err.Error())
}

// turnedAway answers a caller whose turn has not come.
func turnedAway(w http.ResponseWriter, f form, model string, err error) {
	if e, ok := errors.AsType[*foreman.WaitError](err); ok {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(e.Retry.Seconds()))))
		text := fmt.Sprintf("%s: this would be place %d in the queue, try again in %s", busy, e.Position, e.Retry)
		if e.Waited > 0 {
			text = fmt.Sprintf("server busy, please try again.  place %d in the queue after %s, try again in %s",
				e.Position, e.Waited.Round(time.Millisecond), e.Retry)
		}
		f.fail(w, http.StatusServiceUnavailable, text)
		return
	}
	switch {
	case errors.Is(err, foreman.ErrInvalid):
		noModel(w, f, model)
	case errors.Is(err, foreman.ErrUnavailable):
		w.Header().Set("Retry-After", "5")
		f.fail(w, http.StatusServiceUnavailable, "server shutting down, please try again")
	default: // the caller has gone, or a handler around this one has had enough
		f.fail(w, statusCanceled, "request canceled")
	}
}
