package ollama

import (
	"context"
	"io"
	"net/http"
	"sync"
	"time"
)

const (
	// knownFor is how long a model is taken to be there, once its server has said so.
	knownFor = 10 * time.Second
	// mostKnown bounds how many models are kept in mind.
	mostKnown = 1024
	// askTimeout bounds a question on behalf of one caller, who waits for its turn then.
	askTimeout = 2 * time.Second
)

// known are models that a server has said it has.
type known struct {
	mu sync.Mutex
	at map[string]time.Time // when it did
}

func (k *known) has(model string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	at, ok := k.at[model]
	return ok && time.Since(at) < knownFor
}

func (k *known) add(model string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.at) >= mostKnown {
		clear(k.at) // they are asked for again
	}
	k.at[model] = time.Now()
}

// knows reports whether a model is known to be on the server: it has said so, or has
// loaded it.
func (b *Backend) knows(model string) bool {
	_, held := b.held.lane(model)
	return held || b.known.has(model)
}

// lacks reports whether the server says that it has no such model. One that cannot be
// asked has not said so.
func (b *Backend) lacks(ctx context.Context, model string) bool {
	if b.knows(model) {
		return false
	}
	resp, err := b.ask(ctx, http.MethodPost, showPath, object{{"model", quote(model)}})
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
		b.known.add(model)
	case http.StatusNotFound:
		body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
		if b.claimOn(model) >= hasOpenAI {
			_ = b.learn(ctx) // it has had it until now
		}
		return said(body) != "" // otherwise it is the path that is not there
	}
	return false
}

// idle reports whether the server says that it has not loaded a model, and it is not
// being loaded.
func (b *Backend) idle(ctx context.Context, model string) bool {
	if b.held.loading(model) {
		return false
	}
	models, err := b.loaded(ctx)
	if err != nil {
		return false
	}
	for _, m := range models {
		if modelName(m) == model {
			return false
		}
	}
	return !b.held.loading(model)
}
