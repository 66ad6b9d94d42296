package ollamatest

import (
	"hash/fnv"
	"math"
	"net/http"
	"strings"
	"time"
)

type embedResponse struct {
	Model           string        `json:"model"`
	Embeddings      [][]float32   `json:"embeddings"`
	TotalDuration   time.Duration `json:"total_duration,omitempty"`
	LoadDuration    time.Duration `json:"load_duration,omitempty"`
	PromptEvalCount int           `json:"prompt_eval_count,omitempty"`
}

func (s *Server) embed(w http.ResponseWriter, r *http.Request, req Request) {
	type EmbedRequest struct {
		Model     string         `json:"model"`
		Input     any            `json:"input"`
		KeepAlive *keepAlive     `json:"keep_alive"`
		Options   map[string]any `json:"options"`
	}
	var e EmbedRequest
	if !decode(w, r, &e) {
		return
	}
	inputs, ok := texts(e.Input)
	switch {
	case e.Model == "":
		fail(w, http.StatusNotFound, "model '' not found")
		return
	case !ok:
		fail(w, http.StatusBadRequest, "invalid input type")
		return
	case !s.models.has(e.Model):
		fail(w, http.StatusNotFound, "model %q not found, try pulling it first", e.Model)
		return
	}
	q := question{model: e.Model, options: e.Options, keepAlive: e.KeepAlive, req: req}
	s.use(w, r, &q, func(at *place) {
		res := embedResponse{Model: e.Model, Embeddings: [][]float32{}}
		for _, text := range inputs {
			if !s.ended(w, r, at) {
				return
			}
			res.Embeddings = append(res.Embeddings, vector(text))
			res.PromptEvalCount += len(strings.Fields(text))
			res.LoadDuration = at.load
			res.TotalDuration = at.load + time.Millisecond
		}
		reply(w, http.StatusOK, res)
	})
}

func (s *Server) embeddings(w http.ResponseWriter, r *http.Request, req Request) {
	type EmbeddingRequest struct {
		Model     string         `json:"model"`
		Prompt    string         `json:"prompt"`
		KeepAlive *keepAlive     `json:"keep_alive"`
		Options   map[string]any `json:"options"`
	}
	var e EmbeddingRequest
	if !decode(w, r, &e) {
		return
	}
	switch {
	case e.Model == "":
		fail(w, http.StatusBadRequest, "model is required")
		return
	case !s.models.has(e.Model):
		fail(w, http.StatusNotFound, "model %q not found, try pulling it first", e.Model)
		return
	}
	q := question{model: e.Model, options: e.Options, keepAlive: e.KeepAlive, req: req}
	s.use(w, r, &q, func(at *place) {
		v := []float32{}
		if e.Prompt != "" {
			if !s.ended(w, r, at) {
				return
			}
			v = vector(e.Prompt)
		}
		reply(w, http.StatusOK, map[string]any{"embedding": v})
	})
}

// ended takes the time of one embedding, and reports whether that went well. If
// not it has answered.
func (s *Server) ended(w http.ResponseWriter, r *http.Request, at *place) bool {
	if err := s.pace(r.Context(), &at.behavior); err != nil {
		panic(http.ErrAbortHandler)
	}
	switch at.behavior.End {
	case Cut:
		panic(http.ErrAbortHandler)
	case Death:
		s.sched.die(at.runner)
		fail(w, http.StatusBadRequest, "%v", errDeath) // not 500, unlike elsewhere
		return false
	}
	return true
}

// texts are the inputs to embed: none, one, or a list.
func texts(input any) ([]string, bool) {
	switch v := input.(type) {
	case nil:
		return nil, true
	case string:
		if v == "" {
			return nil, true
		}
		return []string{v}, true
	case []any:
		var out []string
		for _, e := range v {
			text, ok := e.(string)
			if !ok {
				return nil, false
			}
			out = append(out, text)
		}
		return out, true
	}
	return nil, false
}

// vector is a unit vector that depends on the text alone.
func vector(text string) []float32 {
	h := fnv.New32a()
	h.Write([]byte(text))
	angle := float64(h.Sum32()) / math.MaxUint32 * 2 * math.Pi
	return []float32{float32(math.Cos(angle)), float32(math.Sin(angle))}
}
