package ollamatest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// The types that requests are decoded to have the names that Ollama's have: the
// decoder's errors name them.

type message struct {
	Role      string          `json:"role"`
	Content   string          `json:"content"`
	Thinking  string          `json:"thinking,omitempty"`
	ToolCalls json.RawMessage `json:"tool_calls,omitempty"`
}

type chatResponse struct {
	Model      string    `json:"model"`
	CreatedAt  time.Time `json:"created_at"`
	Message    message   `json:"message"`
	Done       bool      `json:"done"`
	DoneReason string    `json:"done_reason,omitempty"`
	metrics
}

func (s *Server) chat(w http.ResponseWriter, r *http.Request, req Request) {
	type Message struct {
		Role    string `json:"role"`
		Content string `json:"content"`
	}
	type ChatRequest struct {
		Model     string          `json:"model"`
		Messages  []Message       `json:"messages"`
		Stream    *bool           `json:"stream"`
		KeepAlive *keepAlive      `json:"keep_alive"`
		Options   map[string]any  `json:"options"`
		Format    json.RawMessage `json:"format"`
		Truncate  *bool           `json:"truncate"`
	}
	var c ChatRequest
	if !decode(w, r, &c) {
		return
	}
	if c.Model == "" {
		fail(w, http.StatusBadRequest, "model is required")
		return
	}
	if !s.models.has(c.Model) {
		fail(w, http.StatusNotFound, "model '%s' not found", c.Model)
		return
	}
	render := func(p chunk) any {
		return chatResponse{
			Model: c.Model, CreatedAt: s.now().UTC(),
			Message: message{Role: "assistant", Content: p.content, Thinking: p.thinking, ToolCalls: p.toolCalls},
			Done:    p.done, DoneReason: p.reason, metrics: p.metrics,
		}
	}
	prompt := ""
	for _, m := range c.Messages {
		if m.Role == "user" {
			prompt = m.Content
		}
	}
	s.answer(w, r, &exchange{
		question: question{model: c.Model, options: c.Options, keepAlive: c.KeepAlive, req: req},
		empty:    len(c.Messages) == 0, prompt: prompt, whole: c.Stream != nil && !*c.Stream, condition: condition{c.Format, c.Truncate}, render: render,
	})
}

type generateResponse struct {
	Model      string    `json:"model"`
	CreatedAt  time.Time `json:"created_at"`
	Response   string    `json:"response"`
	Thinking   string    `json:"thinking,omitempty"`
	Done       bool      `json:"done"`
	DoneReason string    `json:"done_reason,omitempty"`
	Context    []int     `json:"context,omitempty"`
	metrics
	ToolCalls json.RawMessage `json:"tool_calls,omitempty"`
}

func (s *Server) generate(w http.ResponseWriter, r *http.Request, req Request) {
	type GenerateRequest struct {
		Model     string          `json:"model"`
		Prompt    string          `json:"prompt"`
		Stream    *bool           `json:"stream"`
		KeepAlive *keepAlive      `json:"keep_alive"`
		Options   map[string]any  `json:"options"`
		Format    json.RawMessage `json:"format"`
		Truncate  *bool           `json:"truncate"`
	}
	var g GenerateRequest
	if !decode(w, r, &g) {
		return
	}
	if !s.models.has(g.Model) {
		fail(w, http.StatusNotFound, "model '%s' not found", g.Model)
		return
	}
	render := func(p chunk) any {
		res := generateResponse{
			Model: g.Model, CreatedAt: s.now().UTC(), Response: p.content, Thinking: p.thinking,
			Done: p.done, DoneReason: p.reason, metrics: p.metrics, ToolCalls: p.toolCalls,
		}
		if p.metrics.EvalCount > 0 {
			res.Context = make([]int, p.metrics.PromptEvalCount+p.metrics.EvalCount)
		}
		return res
	}
	s.answer(w, r, &exchange{
		question: question{model: g.Model, options: g.Options, keepAlive: g.KeepAlive, req: req},
		empty:    g.Prompt == "", prompt: g.Prompt, whole: g.Stream != nil && !*g.Stream, condition: condition{g.Format, g.Truncate}, render: render,
	})
}

// condition is what a request asks of its answer.
type condition struct {
	format   json.RawMessage
	truncate *bool
}

// broken tells why a prompt cannot be answered under the condition, with the status
// to say so, if it cannot.
func (c *condition) broken(prompt string, context int) (status int, err error) {
	format := string(c.format)
	switch {
	case c.truncate != nil && !*c.truncate && len(strings.Fields(prompt)) > context:
		return http.StatusBadRequest, errors.New("the input length exceeds the context length")
	case format == "" || format == "null" || format == `""` || format == `"json"` || format[0] == '{':
		return 0, nil
	}
	return http.StatusInternalServerError, fmt.Errorf("invalid format: %q; expected \"json\" or a valid JSON Schema object", format)
}

// exchange is a question and the form of the answer.
type exchange struct {
	question
	condition
	empty  bool // nothing is to be generated: the model is loaded or unloaded
	prompt string
	whole  bool
	render func(chunk) any
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, x *exchange) {
	if x.empty && x.keepAlive != nil && x.keepAlive.Duration == 0 {
		s.sched.unload(s.models.resolve(x.model))
		reply(w, http.StatusOK, x.render(chunk{done: true, reason: "unload"}))
		return
	}
	s.use(w, r, &x.question, func(at *place) {
		if x.empty {
			reply(w, http.StatusOK, x.render(chunk{done: true, reason: "load"}))
			return
		}
		if status, err := x.broken(x.prompt, at.runner.numCtx); err != nil {
			fail(w, status, "%v", err)
			return
		}
		form := stream
		if x.whole {
			form = whole
		}
		form(w, x.render, func(emit func(chunk)) error {
			err := s.say(r.Context(), at, &x.question, x.prompt, emit)
			if at.behavior.End == Death && err != nil {
				s.sched.die(at.runner)
			}
			return err
		})
	})
}
