package ollamatest

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
)

// decode reads the body of a request as Ollama does, with the decoder's own words
// for what is wrong with it.
func decode(w http.ResponseWriter, r *http.Request, v any) bool {
	err := json.NewDecoder(r.Body).Decode(v)
	switch {
	case err == nil:
		return true
	case errors.Is(err, io.EOF):
		fail(w, http.StatusBadRequest, "missing request body")
	default:
		fail(w, http.StatusBadRequest, "%v", err)
	}
	return false
}

// question is what a model is asked.
type question struct {
	model     string
	options   map[string]any
	keepAlive *keepAlive
	req       Request
}

// place is a place of a loaded model that a request holds.
type place struct {
	runner   *runner
	behavior Behavior
	load     time.Duration // how long the model took to load
}

// use runs fn while the request holds a place of its model, or answers why it
// cannot.
func (s *Server) use(w http.ResponseWriter, r *http.Request, q *question, fn func(*place)) {
	b, _ := s.models.get(q.model)
	if s.hook != nil {
		s.hook(q.req, &b)
	}
	if b.Status != 0 {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.WriteHeader(b.Status)
		send(w, []byte(b.Body))
		return
	}
	if err := checkOptions(q.options); err != nil {
		fail(w, http.StatusInternalServerError, "%v", err)
		return
	}
	runner, loading, err := s.sched.acquire(r.Context(), wanted{s.models.resolve(q.model), settingsOf(q.options)}, b.LoadDelay)
	switch {
	case errors.Is(err, errMaxQueue):
		fail(w, http.StatusServiceUnavailable, "%v", err)
		return
	case errors.Is(err, errClosed):
		panic(http.ErrAbortHandler)
	case errors.Is(err, errDeath):
		fail(w, http.StatusInternalServerError, "%v", err)
		return
	case err != nil:
		fail(w, 499, "request canceled")
		return
	}
	defer s.sched.release(runner, q.keepAlive)
	at := &place{runner, b, time.Millisecond}
	if loading {
		at.load += b.LoadDelay
	}
	fn(at)
}

// chunk is one piece of a generated answer.
type chunk struct {
	content, thinking string
	toolCalls         json.RawMessage
	done              bool
	reason            string
	metrics           metrics
}

// metrics are what the last piece says of the generation, in nanoseconds and tokens.
// They follow from the behavior alone, so that the same question gets the same ones.
type metrics struct {
	TotalDuration      time.Duration `json:"total_duration,omitempty"`
	LoadDuration       time.Duration `json:"load_duration,omitempty"`
	PromptEvalCount    int           `json:"prompt_eval_count,omitempty"`
	PromptEvalDuration time.Duration `json:"prompt_eval_duration,omitempty"`
	EvalCount          int           `json:"eval_count,omitempty"`
	EvalDuration       time.Duration `json:"eval_duration,omitempty"`
}

// say generates the answer to a prompt: its own words, again and again if more
// tokens are wanted than it has. Of a prompt that is longer than the context, only
// the end is seen.
func (s *Server) say(ctx context.Context, at *place, q *question, prompt string, emit func(chunk)) error {
	b, words := &at.behavior, strings.Fields(prompt)
	words = words[max(0, len(words)-at.runner.numCtx):]
	n, reason := b.Tokens, "length"
	if n == 0 {
		n, reason = len(words), "stop"
	}
	if most, ok := q.options["num_predict"].(float64); ok && most >= 0 && int(most) < n {
		n, reason = int(most), "length"
	}
	if b.Thinking != "" {
		if err := s.pace(ctx, b); err != nil {
			return err
		}
		emit(chunk{thinking: b.Thinking})
	}
	for i := range n {
		if b.End != Well && i == b.EndAfter {
			return b.End.err()
		}
		if err := s.pace(ctx, b); err != nil {
			return err
		}
		token := "token"
		if len(words) > 0 {
			token = words[i%len(words)]
		}
		if i > 0 {
			token = " " + token
		}
		emit(chunk{content: token})
	}
	if err := b.End.err(); err != nil {
		return err
	}
	if len(b.ToolCalls) > 0 {
		emit(chunk{toolCalls: b.ToolCalls})
	}
	each := max(b.TokenDelay, time.Millisecond)
	m := metrics{
		LoadDuration:    at.load,
		PromptEvalCount: len(words), PromptEvalDuration: time.Duration(len(words)) * time.Microsecond,
		EvalCount: n, EvalDuration: time.Duration(n) * each,
	}
	m.TotalDuration = m.LoadDuration + m.PromptEvalDuration + m.EvalDuration
	emit(chunk{done: true, reason: reason, metrics: m})
	return nil
}

// stream answers with a line for each piece, as it comes. Before the first there is
// nothing, not even a header.
func stream(w http.ResponseWriter, render func(chunk) any, generate func(emit func(chunk)) error) {
	begun := false
	line := func(v any) {
		if !begun {
			w.Header().Set("Content-Type", "application/x-ndjson")
			begun = true
		}
		b, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		send(w, append(b, '\n'))
		w.(http.Flusher).Flush()
	}
	err := generate(func(c chunk) { line(render(c)) })
	switch {
	case err == nil, errors.Is(err, errRepeat):
	case errors.Is(err, errCut):
		panic(http.ErrAbortHandler)
	case begun:
		line(map[string]string{"error": err.Error()})
	default:
		fail(w, http.StatusInternalServerError, "%v", err)
	}
}

// whole answers with all pieces in one: the last of them, with the text of all.
func whole(w http.ResponseWriter, render func(chunk) any, generate func(emit func(chunk)) error) {
	var content, thinking strings.Builder
	var last chunk
	var toolCalls json.RawMessage
	err := generate(func(c chunk) {
		content.WriteString(c.content)
		thinking.WriteString(c.thinking)
		if c.toolCalls != nil {
			toolCalls = c.toolCalls
		}
		last = c
	})
	switch {
	case err == nil, errors.Is(err, errRepeat):
		last.content, last.thinking, last.toolCalls = content.String(), thinking.String(), toolCalls
		reply(w, http.StatusOK, render(last))
	case errors.Is(err, errCut):
		panic(http.ErrAbortHandler)
	default:
		fail(w, http.StatusInternalServerError, "%v", err)
	}
}
