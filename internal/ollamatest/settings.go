package ollamatest

import "fmt"

// settings are the options with which a model is loaded. A request with others has
// it loaded anew.
type settings struct {
	numCtx, numBatch, numGPU, mainGPU, numThread int
	useMMap                                      string // true, false, or "" if Ollama decides
}

func settingsOf(options map[string]any) settings {
	s := settings{numCtx: 4096, numBatch: 512, numGPU: -1}
	for name, at := range map[string]*int{
		"num_ctx": &s.numCtx, "num_batch": &s.numBatch, "num_gpu": &s.numGPU, "main_gpu": &s.mainGPU, "num_thread": &s.numThread,
	} {
		if v, ok := options[name].(float64); ok {
			*at = int(v)
		}
	}
	if v, ok := options["use_mmap"].(bool); ok {
		s.useMMap = fmt.Sprint(v)
	}
	return s
}

// suits reports whether what is loaded with s does for a request with other. A
// request that leaves num_gpu to Ollama takes it as it is.
func (s settings) suits(other settings) bool {
	if other.numGPU < 0 {
		other.numGPU = s.numGPU
	}
	return s == other
}

// checkOptions finds options of a wrong type, of those that the double knows.
func checkOptions(options map[string]any) error {
	for _, kind := range []struct {
		name    string
		is      func(any) bool
		options []string
	}{
		{"integer", is[float64], []string{"num_ctx", "num_batch", "num_gpu", "main_gpu", "num_thread", "num_predict", "num_keep", "seed", "top_k"}},
		{"float32", is[float64], []string{"temperature", "top_p", "min_p", "repeat_penalty", "presence_penalty", "frequency_penalty"}},
		{"boolean", is[bool], []string{"use_mmap"}},
		{"array", is[[]any], []string{"stop"}},
	} {
		for _, name := range kind.options {
			if v := options[name]; v != nil && !kind.is(v) {
				return fmt.Errorf("option %q must be of type %s", name, kind.name)
			}
		}
	}
	return nil
}

func is[T any](v any) bool {
	_, ok := v.(T)
	return ok
}
