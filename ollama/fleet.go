package ollama

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/foreman-go/foreman"
)

// Pools makes a pool of each of several servers, named by its URL, in which the models
// are served that the server has, as it lists them itself: in /api/tags, or in
// /v1/models if it has [OpenAIAPI]. Names are compared as Ollama compares them, so that
// qwen3 is qwen3:latest.
//
// A model is served by the servers of Ollama that list it, otherwise by those of
// OpenAI's API that do. What nobody is known to have is for the servers that have not
// been reached yet, then for those of Ollama, which know how to say that there is no
// such model, then for all. A server that is out of reach keeps the models that it
// had.
//
// Servers are asked for their lists when they are reached, every 30 seconds, after a
// change that has been passed on by [Handler], and for a model that nobody is known to
// have, all of them and at most once a second. One server alone serves everything.
//
// A pool can be changed before it is used: its name, its slots, a Backend that wraps
// the one here, and a Serves that asks the one here and serves less. What it serves
// beyond that is put back into the queue, again and again, while another server has it.
// A Backend can be in the pools of one call only.
func Pools(servers ...*Backend) foreman.Pools {
	fl := newFleet(servers)
	var out foreman.Pools
	for _, b := range servers {
		b.fleet = fl
		p := foreman.Pool{Name: b.url.String(), Backend: b}
		if !fl.isOne() {
			p.Serves = func(model string) bool { return fl.serves(b, model) }
		}
		out = append(out, p)
	}
	return out
}

// fleet are servers that each have some of the models; or one, that need not be asked by
// whom a model is served.
type fleet struct {
	servers []*Backend
	asking  chan struct{} // holds a token while all are asked, with which goes asked
	asked   time.Time     // when that was last begun
}

func newFleet(servers []*Backend) *fleet {
	return &fleet{servers: servers, asking: make(chan struct{}, 1)}
}

func (fl *fleet) isOne() bool { return len(fl.servers) == 1 }

// The bounds on questions for a model that nobody is known to have.
const (
	findEvery   = time.Second
	findTimeout = 2 * time.Second
)

// claim is how good a reason there is to ask a server for a model.
type claim int

const (
	without       claim = iota // has not the model
	withoutOllama              // nor this one, which says so as clients expect it
	unknownOpenAI              // has never been reached
	unknownOllama
	hasOpenAI
	hasOllama // on all paths
)

// claimOn is what a server has on a model.
func (b *Backend) claimOn(name string) claim {
	known := b.models.Load()
	c := without
	if known == nil {
		c = unknownOpenAI
	} else if _, has := (*known)[name]; has {
		c = hasOpenAI
	}
	if b.api == OllamaAPI {
		c++
	}
	return c
}

// best is the best claim that any server has on a model.
func (fl *fleet) best(name string) claim {
	best := without
	for _, b := range fl.servers {
		best = max(best, b.claimOn(name))
	}
	return best
}

// serves reports whether a server is one of those to be asked for a model. It asks
// nobody: a Foreman calls it while others wait.
func (fl *fleet) serves(b *Backend, model string) bool {
	name := modelName(model)
	return b.claimOn(name) == fl.best(name)
}

// find has all servers asked what they have if none is known to have a model.
func (fl *fleet) find(ctx context.Context, model string) {
	name := modelName(model)
	if fl.isOne() || fl.best(name) >= hasOpenAI {
		return
	}
	select {
	case fl.asking <- struct{}{}:
		defer func() { <-fl.asking }()
	case <-ctx.Done():
		return
	}
	if fl.best(name) >= hasOpenAI || time.Since(fl.asked) < findEvery {
		return
	}
	fl.asked = time.Now()
	ctx, cancel := context.WithTimeout(ctx, findTimeout)
	defer cancel()
	var all sync.WaitGroup
	for _, b := range fl.servers {
		all.Go(func() { _ = b.learn(ctx) }) // one that does not answer keeps what it had
	}
	all.Wait()
}

// misplaced is an error for work that has come to a server though another has the model,
// as has turned out meanwhile: it does not count, and goes there.
func (b *Backend) misplaced(ctx context.Context, model string) error {
	if b.fleet.find(ctx, model); b.fleet.serves(b, model) {
		return nil
	}
	return foreman.Unavailable(fmt.Errorf("ollama: %s is not on %s, and may be on another server", model, b.url))
}
