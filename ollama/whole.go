package ollama

import (
	"encoding/json"
	"strings"
)

// whole is an answer of /v1 in one piece, of whichever call.
type whole struct {
	Choices []struct { // of chat/completions and completions
		Text         string
		Message      v1Message
		FinishReason *string `json:"finish_reason"`
	}
	Status string // of responses
	Output []struct {
		Content []v1Text
	}
	StopReason string   `json:"stop_reason"` // of messages
	Content    []v1Text // of messages
}

type v1Message struct {
	Content          string
	Reasoning        string
	ReasoningContent string `json:"reasoning_content"` // as vLLM and llama.cpp call it
}

func (m v1Message) text() string { return m.Reasoning + m.ReasoningContent + m.Content }

type v1Text struct {
	Text     string
	Thinking string
}

// readWholeV1 finds out whether an answer of /v1 is whole, and tells its text.
// Embeddings have no end mark.
func readWholeV1(b []byte, path string, tell func(text string)) error {
	if text := said(b); text != "" {
		return saidSo(text)
	}
	var a *whole
	if path == v1EmbeddingsPath {
		var o map[string]json.RawMessage
		if json.Unmarshal(b, &o) != nil || o == nil {
			return incomplete("the model server sent what is not an answer")
		}
		return nil
	}
	if err := json.Unmarshal(b, &a); err != nil {
		return incomplete("the model server sent what is not an answer: %w", err)
	}
	if a == nil || !a.ended(path) {
		return noEnd()
	}
	if text := a.text(); text != "" {
		tell(text)
	}
	return nil
}

// ended reports whether the answer has its end mark.
func (a *whole) ended(path string) bool {
	switch path {
	case responsesPath:
		return a.Status == "completed" || a.Status == "incomplete" // the length it was allowed
	case messagesPath:
		return a.StopReason != ""
	}
	for _, c := range a.Choices {
		if c.FinishReason == nil || *c.FinishReason == "" {
			return false
		}
	}
	return len(a.Choices) > 0
}

// text is what the model has generated.
func (a *whole) text() string {
	var b strings.Builder
	for _, c := range a.Choices {
		b.WriteString(c.Message.text() + c.Text)
	}
	texts := a.Content
	for _, o := range a.Output {
		texts = append(texts, o.Content...)
	}
	for _, t := range texts {
		b.WriteString(t.Thinking + t.Text)
	}
	return b.String()
}
