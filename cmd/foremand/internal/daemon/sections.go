package daemon

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/foreman-go/foreman/command"
)

// program is a command of the config file: what runs the jobs of one model.
type program struct {
	options        command.Options
	slots, perSlot int
}

// entry is one setting of an entry of a section of the config file.
type entry map[string]func(v any) error

// readSections takes the sections models and commands out of what a file says, and keeps
// what they have.
func (c *config) readSections(l layer) error {
	raw := l.values.Raw() // whose keys have their dots
	err := section(l.name("models"), raw["models"], func(model string) entry {
		limits := c.models[model]
		return entry{
			"slots":    whole(&limits.Slots, 1, 256),
			"per-slot": whole(&limits.PerSlot, 1, 1024),
			"max-wait": duration(&limits.MaxWait),
			"":         func(any) error { c.models[model] = limits; return nil },
		}
	})
	if err != nil {
		return err
	}
	err = section(l.name("commands"), raw["commands"], func(model string) entry {
		p := program{slots: 1, perSlot: 1}
		o := &p.options
		var maxOutput int
		return entry{
			"path": word(&o.Path), "args": words(&o.Args), "dir": word(&o.Dir), "env": words(&o.Env),
			"stdin": word(&o.Stdin), "no-stdin": truth(&o.NoStdin),
			"result": truth(&o.Output.Result), "artifact": word(&o.Output.Artifact), "content-type": word(&o.Output.ContentType),
			"max-output": whole(&maxOutput, 1, 1<<40), "max-log": whole(&o.MaxLog, 1, 1<<30),
			"final-exits": wholes(&o.FinalExits), "timeout": duration(&o.Timeout), "grace-period": duration(&o.GracePeriod),
			"slots": whole(&p.slots, 1, 256), "per-slot": whole(&p.perSlot, 1, 1024),
			"": func(any) error {
				o.MaxOutput = int64(maxOutput)
				_, err := command.New(o)
				c.commands[model] = p
				return err
			},
		}
	})
	l.values.Delete("models")
	l.values.Delete("commands")
	return err
}

// section reads a section that has entries by the name of a model. The setting "" of an
// entry comes last, and makes it count.
func section(name string, v any, of func(model string) entry) error {
	if v == nil {
		return nil
	}
	entries, ok := v.(map[string]any)
	if !ok {
		return fmt.Errorf("%s: must have an entry for each model, with its settings below it", name)
	}
	for _, model := range slices.Sorted(maps.Keys(entries)) {
		e := of(model)
		settings, ok := entries[model].(map[string]any)
		if !ok {
			return fmt.Errorf("%s: %s: must have settings below it: %s", name, model, e.names())
		}
		for _, key := range slices.Sorted(maps.Keys(settings)) {
			set := e[key]
			if key == "" || set == nil {
				return fmt.Errorf("%s: %s: %s is no setting of it: there are %s", name, model, key, e.names())
			}
			if err := set(settings[key]); err != nil {
				return fmt.Errorf("%s: %s: %s: %w", name, model, key, err)
			}
		}
		if err := e[""](nil); err != nil {
			return fmt.Errorf("%s: %s: %w", name, model, err)
		}
	}
	return nil
}

func (e entry) names() string {
	names := slices.Sorted(maps.Keys(e))
	return strings.Join(names[1:], ", ")
}

func whole(to *int, least, most int) func(any) error {
	return func(v any) error {
		n, ok := v.(int)
		if !ok || n < least || n > most {
			return fmt.Errorf("must be a whole number from %d to %d", least, most)
		}
		*to = n
		return nil
	}
}

func wholes(to *[]int) func(any) error {
	return func(v any) error {
		list, ok := v.([]any)
		*to = []int{}
		for _, x := range list {
			n, whole := x.(int)
			ok = ok && whole
			*to = append(*to, n)
		}
		if !ok {
			return errors.New("must be a list of whole numbers")
		}
		return nil
	}
}

func word(to *string) func(any) error {
	return func(v any) error {
		s, ok := v.(string)
		if !ok {
			return errors.New("must be a text; what looks like something else in YAML needs quotes")
		}
		*to = s
		return nil
	}
}

func words(to *[]string) func(any) error {
	return func(v any) error {
		list, ok := v.([]any)
		*to = nil
		for _, x := range list {
			s, text := x.(string)
			ok = ok && text
			*to = append(*to, s)
		}
		if !ok {
			return errors.New("must be a list of texts; what looks like something else in YAML needs quotes")
		}
		return nil
	}
}

func truth(to *bool) func(any) error {
	return func(v any) error {
		b, ok := v.(bool)
		if !ok {
			return errors.New("must be true or false")
		}
		*to = b
		return nil
	}
}

func duration(to *time.Duration) func(any) error {
	return func(v any) error {
		s, _ := v.(string)
		d, err := time.ParseDuration(s)
		if err != nil || d <= 0 {
			return errors.New("must be a duration such as 90s")
		}
		*to = d
		return nil
	}
}
