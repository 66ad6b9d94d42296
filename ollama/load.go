package ollama

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/foreman-go/foreman"
)

var _ foreman.Loader = (*Backend)(nil)

// The pauses between looks at whether a model has been unloaded, and how long that may
// take before the next one is loaded all the same.
const (
	firstLook  = 2 * time.Millisecond
	lastLook   = 500 * time.Millisecond
	unloadTime = 30 * time.Second
)

var errLoadTimeout = errors.New("the model was not loaded in time")

// Load unloads what Ollama has loaded and keep does not list, waits until it is gone,
// up to 30 seconds, and has the model of the lane loaded, with its options, unless it is
// already, of which Ollama's list is proof enough. So a model is put out when Foreman has decided so, and never while Foreman has requests for it.
//
// Of a model that Ollama does not have nothing is loaded, and nothing unloaded for it. That
// is no error, nor is one that Ollama refuses to load because it only embeds: its jobs and
// callers hear the truth from Ollama. An error of the load itself is returned. A server that cannot be connected
// to, or has not loaded the model within [Options.LoadTimeout], is
// [foreman.Unavailable]. When ctx ends the request is canceled, which makes Ollama give
// up the load, and Load returns the cause at once.
//
// A server of OpenAI's API loads its models itself: Load does nothing. Nor does it for one
// of several in [Pools] if none has the model; if another may have it, that is
// [foreman.Unavailable].
func (b *Backend) Load(ctx context.Context, name string, keep []string) error {
	if b.api == OpenAIAPI {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, b.loadTimeout, errLoadTimeout)
	defer cancel()
	l := parseLane(name)
	if err := b.misplaced(ctx, l.model); err != nil {
		return err
	}
	if !b.fleet.isOne() && b.claimOn(l.model) < unknownOpenAI {
		return nil // what nobody has need not put out what is loaded
	}
	if b.lacks(ctx, l.model) {
		return nil
	}
	h := b.held.begin(l)
	loaded, err := b.load(ctx, h, keep)
	b.held.end(h, loaded)
	switch cause := context.Cause(ctx); {
	case err == nil:
		return nil
	case errors.Is(cause, errLoadTimeout):
		b.suspect(h.lane.model)
		return foreman.Unavailable(fmt.Errorf("ollama: %w: %s after %s", errLoadTimeout, name, b.loadTimeout))
	case cause != nil:
		return fmt.Errorf("ollama: %w", cause)
	}
	return fmt.Errorf("ollama: cannot load %s: %w", name, err)
}

// load reports whether the model is loaded now.
func (b *Backend) load(ctx context.Context, h *holding, keep []string) (bool, error) {
	there, err := b.makeRoom(ctx, h, keep)
	if there || err != nil {
		return there, err
	}
	body := object{{"model", quote(h.lane.model)}}
	if len(h.lane.options) > 0 {
		body.set("options", h.lane.json(), "")
	}
	switch {
	case b.keepAlive < 0:
		body.set("keep_alive", json.RawMessage("-1"), "")
	case b.keepAlive > 0:
		body.set("keep_alive", quote(b.keepAlive.String()), "")
	}
	resp, err := b.ask(ctx, http.MethodPost, generatePath, body)
	if err != nil {
		return false, b.sendingFailed(err)
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusOK:
		_, err = io.Copy(io.Discard, resp.Body)
		return err == nil, err
	case resp.StatusCode/100 == 4:
		return false, nil
	}
	return false, refused(resp)
}

// makeRoom has unloaded whatever is in the way of a model, and waits until it is gone. It
// reports whether the model is loaded as it is to be.
func (b *Backend) makeRoom(ctx context.Context, h *holding, keep []string) (there bool, err error) {
	models, err := b.loaded(ctx)
	if err != nil {
		return false, err
	}
	there = h.before != nil && h.before.String() == h.lane.String() &&
		slices.ContainsFunc(models, func(model string) bool { return modelName(model) == h.lane.model })
	var stay []lane
	for _, name := range keep {
		stay = append(stay, parseLane(name))
	}
	going := slices.DeleteFunc(models, func(model string) bool { return !b.held.inTheWay(h, modelName(model), stay) })
	for _, model := range going {
		resp, err := b.ask(ctx, http.MethodPost, generatePath, object{{"model", quote(model)}, {"keep_alive", json.RawMessage("0")}})
		if err != nil {
			return false, b.sendingFailed(err)
		}
		resp.Body.Close() // one that is refused is still there, or has never been
		if modelName(model) != h.lane.model {
			b.held.forget(modelName(model))
		}
	}
	return there, b.gone(ctx, going)
}

// gone waits until none of the models is loaded any more. Ollama lists a model for some
// time after it has been told to unload it: while requests of others use it, and until
// its memory is free.
func (b *Backend) gone(ctx context.Context, models []string) error {
	begun := time.Now()
	for pause := firstLook; len(models) > 0; pause = min(2*pause, lastLook) {
		still, err := b.loaded(ctx)
		if err != nil {
			return err
		}
		models = slices.DeleteFunc(models, func(m string) bool { return !slices.Contains(still, m) })
		switch {
		case len(models) == 0:
			return nil
		case time.Since(begun) > unloadTime:
			b.log.Warn("models are still loaded though they were to be unloaded; the next is loaded all the same", "models", models, "after", unloadTime)
			return nil
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		}
	}
	return nil
}

// Loaded lists the lanes of the models that Ollama has loaded. It does not say with what
// options they are: these lanes have none. A model that was loaded with some is
// loaded anew when its turn comes, by Ollama itself. Of a server of OpenAI's API nothing
// is known.
func (b *Backend) Loaded(ctx context.Context) ([]string, error) {
	if b.api == OpenAIAPI {
		return nil, nil
	}
	models, err := b.loaded(ctx)
	if err != nil {
		return nil, fmt.Errorf("ollama: what is loaded: %w", err)
	}
	for i, m := range models {
		models[i] = modelName(m)
	}
	return models, nil
}

// Model is the model that is loaded for a lane: Ollama has room for it once, with one set
// of options. It is the same for servers of OpenAI's API, whose lanes have none, since a
// model may be found on the one kind or the other.
func (b *Backend) Model(name string) string { return parseLane(name).model }

// loaded lists the models that Ollama has loaded, as it calls them.
func (b *Backend) loaded(ctx context.Context) ([]string, error) {
	resp, err := b.ask(ctx, http.MethodGet, psPath, nil)
	if err != nil {
		return nil, b.sendingFailed(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, refused(resp)
	}
	var list struct{ Models []struct{ Name string } }
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxLine)).Decode(&list); err != nil {
		return nil, incomplete("the list of loaded models cannot be read: %w", err)
	}
	var models []string
	for _, m := range list.Models {
		models = append(models, m.Name)
	}
	return models, nil
}
