package ollamatest

import (
	"encoding/json"
	"fmt"
	"net/http"
)

func (s *Server) openAICompletions(w http.ResponseWriter, r *http.Request, req Request) {
	type CompletionRequest struct {
		Model         string         `json:"model"`
		Prompt        string         `json:"prompt"`
		MaxTokens     *int           `json:"max_tokens"`
		Seed          *int           `json:"seed"`
		Stream        bool           `json:"stream"`
		StreamOptions *StreamOptions `json:"stream_options"`
		Temperature   *float64       `json:"temperature"`
	}
	f := &textForm{id: fmt.Sprintf("cmpl-%d", identify(req)%999), created: s.now().Unix()}
	var q CompletionRequest
	if !bind(w, r, f, &q) {
		return
	}
	f.streams, f.usage = q.Stream, q.StreamOptions != nil && q.StreamOptions.IncludeUsage
	n := native{Model: q.Model, Prompt: q.Prompt, Stream: q.Stream, Options: options(q.MaxTokens, q.Temperature)}
	serveAs(w, r, req, n, f, q.Stream, s.generate)
}

type textChoice struct {
	Text         string  `json:"text"`
	Index        int     `json:"index"`
	FinishReason *string `json:"finish_reason"`
}

// textChunk has its members in another order than what is not streamed.
type textChunk struct {
	ID                string       `json:"id"`
	Object            string       `json:"object"`
	Created           int64        `json:"created"`
	Choices           []textChoice `json:"choices"`
	Model             string       `json:"model"`
	SystemFingerprint string       `json:"system_fingerprint"`
	Usage             *usage       `json:"usage,omitempty"`
}

// textForm is the form of answers of /v1/completions.
type textForm struct {
	openAIForm
	id      string
	created int64
	streams bool
	usage   bool // is wanted in a stream, where every piece then has one
}

func (f *textForm) answer(native []byte) []byte {
	var g generateResponse
	if json.Unmarshal(native, &g) != nil {
		return nil
	}
	choices, u := []textChoice{{Text: g.Response, FinishReason: orNil(g.DoneReason)}}, g.usage()
	if !f.streams {
		return line(completion[textChoice]{f.id, "text_completion", f.created, g.Model, fingerprint, choices, &u})
	}
	out := textChunk{f.id, "text_completion", f.created, choices, g.Model, fingerprint, nil}
	if f.usage {
		out.Usage = &usage{}
	}
	b := data(out)
	if !g.Done {
		return b
	}
	if f.usage {
		out.Choices, out.Usage = []textChoice{}, &u
		b = append(b, data(out)...)
	}
	return append(b, "data: [DONE]\n\n"...)
}
