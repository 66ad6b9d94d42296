package ollamatest

import (
	"maps"
	"slices"
	"strings"
	"sync"
)

// catalog is what models there are, by their full names, and how they behave.
type catalog struct {
	mu     sync.Mutex
	models map[string]Behavior
}

func (c *catalog) init(models map[string]Behavior) {
	c.models = map[string]Behavior{}
	for name, b := range models {
		c.models[tagged(name)] = b
	}
	if len(models) == 0 {
		c.models[tagged("llama3")] = Behavior{}
	}
}

// tagged is the full name of a model.
func tagged(name string) string {
	if name == "" || strings.Contains(name, ":") {
		return name
	}
	return name + ":latest"
}

func (c *catalog) get(name string) (Behavior, bool) {
	name = c.resolve(name)
	c.mu.Lock()
	defer c.mu.Unlock()
	b, ok := c.models[name]
	return b, ok
}

// resolve is the name that a model has here, whatever it is called: case makes no
// difference, nor do the registry and the namespace that Ollama assumes.
func (c *catalog) resolve(name string) string {
	name = tagged(strings.TrimPrefix(strings.TrimPrefix(name, "registry.ollama.ai/"), "library/"))
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.models[name]; ok {
		return name
	}
	for here := range c.models {
		if strings.EqualFold(here, name) {
			return here
		}
	}
	return name
}

func (c *catalog) has(name string) bool {
	_, ok := c.get(name)
	return ok
}

func (c *catalog) names() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.models))
}

func (c *catalog) set(name string, b Behavior) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.models[tagged(name)] = b
}

func (c *catalog) delete(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.models, tagged(name))
}
