package ollama

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/foreman-go/foreman"
)

var _ foreman.Laner = (*Backend)(nil)

// The options with which a model is loaded: a request with others has it loaded anew,
// as long as a change of model. The names are in order.
var loadOptions = []string{"main_gpu", "num_batch", "num_ctx", "num_gpu", "num_thread", "use_mmap"}

// Lane names the work that can share a model as it is loaded: the model, and behind it
// those options of the input with which Ollama loads it, in order, such as "qwen3:30b"
// or "qwen3:30b num_ctx=8192 num_gpu=1". The options that count are main_gpu, num_batch,
// num_ctx, num_gpu, num_thread and use_mmap. A name with a blank, a quote or = in it, which
// no model of Ollama has, is in quotes, so that it is not taken for a model with options.
//
// Names that are one to Ollama are one here: case, the tag latest and the registry and
// namespace that Ollama assumes make no difference. So are numbers that are one:
// 8192, 8192.0 and 8192.5, since Ollama wants whole ones. A negative num_gpu takes the
// model as it is, and a value of a wrong type is refused in the end: neither counts.
// Bodies for /v1 have no such options. The lane of an input that cannot be read is the
// model.
//
// The lane of a server of OpenAI's API is the model as it is written.
//
// Lane depends on the model and the input alone. It reads the input once, without
// looking into what it passes over.
func (b *Backend) Lane(s *foreman.Spec) string {
	if b.api == OpenAIAPI {
		return s.Model
	}
	return lane{modelName(s.Model), optionsOf(s.Input)}.String()
}

// lane is what a model is loaded as.
type lane struct {
	model   string
	options []option // by name
}

// option is one with which a model is loaded. Its value is JSON.
type option struct{ name, value string }

// String is the name of the lane.
func (l lane) String() string {
	var b strings.Builder
	if strings.ContainsAny(l.model, ` "=`) {
		b.Write(quote(l.model))
	} else {
		b.WriteString(l.model)
	}
	for _, o := range l.options {
		b.WriteString(" " + o.name + "=" + o.value)
	}
	return b.String()
}

// json are the options as they are sent.
func (l lane) json() json.RawMessage {
	var o object
	for _, opt := range l.options {
		o.set(opt.name, json.RawMessage(opt.value), "")
	}
	return o.bytes()
}

// parseLane reads the name of a lane. What does not look like one, such as a name that
// was cut, is a model.
func parseLane(s string) lane {
	model, rest, more := strings.Cut(s, " ")
	if strings.HasPrefix(s, `"`) {
		end := skipString([]byte(s), 0)
		if end < 0 || json.Unmarshal([]byte(s[:end]), &model) != nil {
			return lane{model: modelName(s)}
		}
		rest, more = strings.CutPrefix(s[end:], " ")
		if !more && rest != "" {
			return lane{model: modelName(s)}
		}
	}
	l := lane{model: modelName(model)} // of the lane of another server too
	if !more {
		return l
	}
	for f := range strings.SplitSeq(rest, " ") {
		name, value, _ := strings.Cut(f, "=")
		if _, isOption := slices.BinarySearch(loadOptions, name); !isOption || !json.Valid([]byte(value)) {
			return lane{model: modelName(s)}
		}
		l.options = append(l.options, option{name, value})
	}
	return l
}

// modelName is the one form of the names that are one to Ollama.
func modelName(s string) string {
	s = strings.ToLower(s)
	s = strings.TrimPrefix(s, "registry.ollama.ai/")
	s = strings.TrimPrefix(s, "library/")
	return strings.TrimSuffix(s, ":latest")
}

// optionsOf are the options of an input with which its model is loaded: of a body, or of
// the one in an envelope, {"path": "/api/...", "body": {...}}.
func optionsOf(input []byte) []option {
	options, path, body := readInput(input)
	if path != "" && body != nil {
		if !strings.HasPrefix(path, "/api/") {
			return nil
		}
		options, _, _ = readInput(body)
	}
	var out []option
	for _, name := range loadOptions {
		if value, ok := loadValue(name, options[name]); ok {
			out = append(out, option{name, value})
		}
	}
	return out
}

// readInput finds the options of a body, and what makes it an envelope: nothing does if it
// has what a body for a model has. All are nil or empty if it cannot be read.
func readInput(input []byte) (options map[string]any, path string, body []byte) {
	var err error
	asks := false
	ok := members(input, func(name string, value []byte) bool {
		switch {
		case strings.EqualFold(name, "options"):
			// Into what there is already, as Ollama does it: of two, both count.
			err = json.Unmarshal(value, &options)
		case name == "path" && value[0] == '"':
			path, _ = unquoted(value)
		case name == "body":
			body = value
		case strings.EqualFold(name, "messages"), strings.EqualFold(name, "prompt"), strings.EqualFold(name, "input"):
			asks = true
		}
		return err == nil
	})
	if !ok || err != nil {
		return nil, "", nil
	}
	if asks {
		path = ""
	}
	return options, path, body
}

// loadValue is what Ollama makes of the value of an option with which a model is loaded.
// ok is false if it makes nothing of it.
func loadValue(name string, value any) (s string, ok bool) {
	switch v := value.(type) {
	case bool:
		return strconv.FormatBool(v), name == "use_mmap"
	case float64:
		n := math.Trunc(v)
		if name == "use_mmap" || math.Abs(n) > math.MaxInt32 || name == "num_gpu" && n < 0 {
			return "", false
		}
		return strconv.FormatInt(int64(n), 10), true
	}
	return "", false
}
