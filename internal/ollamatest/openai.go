package ollamatest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

type openAIError struct {
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   any     `json:"param"`
	Code    *string `json:"code"`
}

// openAIForm is the form of errors on the OpenAI surface.
type openAIForm struct{}

func (openAIForm) failure(status int, message string) any {
	kind := "api_error"
	switch status {
	case http.StatusBadRequest:
		kind = "invalid_request_error"
	case http.StatusNotFound:
		kind = "not_found_error"
	}
	return map[string]openAIError{"error": {Message: message, Type: kind}}
}

// refuse answers a request that does not come as far as a native handler.
func refuse(w http.ResponseWriter, f interface{ failure(int, string) any }, err error) {
	reply(w, http.StatusBadRequest, f.failure(http.StatusBadRequest, err.Error()))
}

// bind reads a body as the other APIs do: to them an empty one is no case of its own.
func bind(w http.ResponseWriter, r *http.Request, f interface{ failure(int, string) any }, v any) bool {
	if err := json.NewDecoder(r.Body).Decode(v); err != nil {
		refuse(w, f, err)
		return false
	}
	return true
}

// native is a request of the native API: chat, generate or embed.
type native struct {
	Model    string          `json:"model"`
	Messages []nativeMessage `json:"messages,omitempty"`
	Prompt   string          `json:"prompt,omitempty"`
	Input    any             `json:"input,omitempty"`
	Format   json.RawMessage `json:"format,omitempty"`
	Stream   bool            `json:"stream"`
	Options  map[string]any  `json:"options,omitempty"`
}

type nativeMessage struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// options are native options, without those that the request did not set.
func options(maxTokens *int, temperature *float64) map[string]any {
	o := map[string]any{}
	if maxTokens != nil {
		o["num_predict"] = *maxTokens
	}
	if temperature != nil {
		o["temperature"] = *temperature
	}
	return o
}

// contents are the texts of a message: a string, or parts.
func contents(content any) ([]string, error) {
	switch v := content.(type) {
	case string:
		return []string{v}, nil
	case []any:
		var out []string
		for _, e := range v {
			part, _ := e.(map[string]any)
			text, ok := part["text"].(string)
			if !ok {
				return nil, errors.New("invalid message format")
			}
			out = append(out, text)
		}
		return out, nil
	}
	return nil, fmt.Errorf("invalid message content type: %T", content)
}

type usage struct {
	PromptTokens     int `json:"prompt_tokens"`
	CompletionTokens int `json:"completion_tokens"`
	TotalTokens      int `json:"total_tokens"`
}

func (m metrics) usage() usage {
	return usage{m.PromptEvalCount, m.EvalCount, m.PromptEvalCount + m.EvalCount}
}

// StreamOptions has the name that Ollama's type has.
type StreamOptions struct {
	IncludeUsage bool `json:"include_usage"`
}

// orNil is nil for what is not there.
func orNil(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

const fingerprint = "fp_ollama"
