package ollama

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"
)

// mostAtOnce bounds how many calls are looked at before their turn, so that those who
// make names up do not have the servers asked for any number of them at once. More wait
// for their turn.
const mostAtOnce = 8

// serving are the servers that a model is asked for.
func (s *surface) serving(model string) (out []server) {
	for _, one := range s.servers {
		if one.only == nil || one.only(model) {
			out = append(out, one)
		}
	}
	return out
}

// stillServing reports whether a model is asked for where it was.
func (s *surface) stillServing(servers []server, model string) bool {
	return slices.EqualFunc(servers, s.serving(model), func(a, b server) bool { return a.Backend == b.Backend })
}

// atOnce answers a call that keeps no model busy: one for a model that no server has,
// or one that unloads what no server has loaded. In turn it would wait for other work,
// and its model would be loaded in place of another one first. It is passed on, so that
// what is answered is what a server says.
func (s *surface) atOnce(w http.ResponseWriter, r *http.Request, f form, servers []server, model string, body []byte) bool {
	name, unload := modelName(model), unloads(r.URL.Path, body)
	for _, one := range servers {
		if one.api != OllamaAPI || !unload && one.knows(name) {
			return false
		}
	}
	select {
	case s.early <- struct{}{}:
		defer func() { <-s.early }()
	default:
		return false
	}
	if !nothingToDo(r.Context(), servers, name, unload) || !s.stillServing(servers, model) {
		return false // of several servers, another may turn out to have the model
	}
	s.passOn(w, withBody(r.Context(), r, body), f, servers)
	return true
}

// nothingToDo reports whether no server has a model, or anything to unload of it.
func nothingToDo(ctx context.Context, servers []server, name string, unload bool) bool {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	for _, one := range servers {
		if one.lacks(ctx, name) || unload && one.idle(ctx, name) {
			continue
		}
		return false
	}
	return true
}

// unloads reports whether a body has its model unloaded and does nothing else, as
// Ollama reads it.
func unloads(path string, body []byte) bool {
	const most = 4 << 10 // there is nothing to make it long
	if path != chatPath && path != generatePath || len(body) > most || !bytes.Contains(body, []byte("keep_alive")) {
		return false
	}
	var b struct {
		Prompt    string
		Messages  []json.RawMessage
		KeepAlive any `json:"keep_alive"`
	}
	if json.NewDecoder(bytes.NewReader(body)).Decode(&b) != nil {
		return false
	}
	if path == chatPath && len(b.Messages) > 0 || path == generatePath && b.Prompt != "" {
		return false
	}
	switch v := b.KeepAlive.(type) {
	case float64:
		return v == 0
	case string:
		d, err := time.ParseDuration(strings.TrimSpace(v))
		return err == nil && d == 0
	}
	return false
}

// asHeld are the options with which a model is held, as an input: what unloads it is for
// the lane that it is in, and has it not loaded anew for that.
func asHeld(servers []server, model string) (input []byte, ok bool) {
	for _, one := range servers {
		if l, held := one.held.lane(modelName(model)); held {
			return object{{"options", l.json()}}.bytes(), true
		}
	}
	return nil, false
}
