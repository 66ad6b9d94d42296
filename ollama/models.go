package ollama

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"time"

	"github.com/foreman-go/foreman"
)

var _ foreman.Follower = (*Backend)(nil)

// listEvery is how often a server is asked which models it has.
const listEvery = 30 * time.Second

// Follow asks the server which models it has, every 30 seconds until ctx ends, and
// calls changed when they are others than before.
func (b *Backend) Follow(ctx context.Context, changed func()) {
	b.changed.Store(&changed)
	defer b.changed.Store(nil)
	said := false
	tick := time.NewTicker(listEvery)
	defer tick.Stop()
	for {
		err := b.learn(ctx)
		// Of one that is out of reach, the check tells.
		if f, ok := errors.AsType[*foreman.Failure](err); ok && f.Type != foreman.BackendUnavailable && ctx.Err() == nil && !said {
			b.log.Warn("a model server does not list its models; those that it listed last count", "url", b.url.String(), "error", err)
		}
		said = err != nil
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Has reports whether the server has listed a model, when it was last asked.
func (b *Backend) Has(model string) bool { return b.claimOn(modelName(model)) >= hasOpenAI }

// learn asks the server which models it has. If it does not say, those that it had last
// stay.
func (b *Backend) learn(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	resp, err := b.ask(ctx, http.MethodGet, b.api.listPath(), nil)
	if err != nil {
		return b.sendingFailed(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return refused(resp)
	}
	var list struct {
		Models []struct{ Name string } // of Ollama
		Data   []struct{ ID string }   // of OpenAI's API
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxLine)).Decode(&list); err != nil {
		return incomplete("the list of models cannot be read: %w", err)
	}
	models := map[string]struct{}{}
	for _, m := range list.Models {
		models[modelName(m.Name)] = struct{}{}
	}
	for _, m := range list.Data {
		models[modelName(m.ID)] = struct{}{}
	}
	before := b.models.Swap(&models)
	if changed := b.changed.Load(); changed != nil && (before == nil || !maps.Equal(*before, models)) {
		(*changed)()
	}
	return nil
}
