package daemon

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/cmd/foremand/internal/echo"
	"github.com/foreman-go/foreman/command"
	"github.com/foreman-go/foreman/ollama"
)

// pools are the backends: a program for each command, the model servers for whatever
// else is asked for, and with -dev the echo model. It comes last, since the first server
// is the one that calls which change something, and such reads as of the version, go to.
func (c *config) pools(log *slog.Logger) (foreman.Pools, error) {
	pools, err := c.programs()
	if err != nil {
		return nil, err
	}
	servers, err := c.servers(log)
	if err != nil {
		return nil, err
	}
	pools = append(pools, servers...)
	if c.dev {
		model, err := echo.New(log)
		if err != nil {
			return nil, err
		}
		pools = append(pools, foreman.Pool{Name: "echo", Backend: model, Serves: echo.Is})
	}
	return pools, nil
}

// programs are the pools of commands.
func (c *config) programs() (foreman.Pools, error) {
	var pools foreman.Pools
	for _, model := range slices.Sorted(maps.Keys(c.commands)) {
		p := c.commands[model]
		b, err := command.New(&p.options)
		if err != nil {
			return nil, &settingError{fmt.Errorf("commands: %s: %w", model, err)}
		}
		pools = append(pools, foreman.Pool{
			Name: "command " + model, Backend: b, Slots: p.slots, PerSlot: p.perSlot,
			Serves: func(m string) bool { return m == model },
		})
	}
	return pools, nil
}

// servers are the pools of the model servers. Of what is for them, each serves what it
// has.
func (c *config) servers(log *slog.Logger) (foreman.Pools, error) {
	var backends []*ollama.Backend
	var names []string
	for _, kind := range []struct {
		api  ollama.API
		urls []string
		key  string
	}{{ollama.OllamaAPI, c.ollama, ""}, {ollama.OpenAIAPI, c.openai, c.openaiKey}} {
		for i, url := range kind.urls {
			b, err := ollama.New(&ollama.Options{URL: url, API: kind.api, Key: kind.key, Logger: log})
			if err != nil {
				return nil, err
			}
			name := string(kind.api)
			if len(kind.urls) > 1 {
				name = fmt.Sprintf("%s %d", name, i+1)
			}
			backends, names = append(backends, b), append(names, name)
		}
	}
	pools := ollama.Pools(backends...)
	for i := range pools {
		has := pools[i].Serves
		pools[i].Name = names[i]
		pools[i].Serves = func(model string) bool {
			if _, isCommand := c.commands[model]; isCommand || c.dev && echo.Is(model) {
				return false
			}
			return has == nil || has(model)
		}
	}
	return pools, nil
}
