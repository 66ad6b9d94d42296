package echo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// The paths of Ollama that are answered.
const (
	chatPath     = "/api/chat"
	generatePath = "/api/generate"
	versionPath  = "/api/version"
	tagsPath     = "/api/tags"
	psPath       = "/api/ps"
	showPath     = "/api/show"
	rootPath     = "/"

	// And of OpenAI.
	completionsPath = "/v1/chat/completions"
	modelsPath      = "/v1/models"
)

// mostBody bounds what is read of a request.
const mostBody = 64 << 20

// Transport answers requests as an Ollama server would that has the echo model and no
// other. It is safe for concurrent use and starts no goroutine.
type Transport struct{}

// RoundTrip answers one request. The answer comes as it is read, with the pauses that
// were asked for; reading it fails when the context of the request ends.
func (Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		b, err := io.ReadAll(io.LimitReader(r.Body, mostBody+1))
		if err = errors.Join(err, r.Body.Close()); err != nil {
			return nil, fmt.Errorf("echo: request body: %w", err)
		}
		body = b
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead
	path := r.URL.Path // perhaps with that of the server's URL before it
	switch {
	case r.Method == http.MethodPost && (strings.HasSuffix(path, chatPath) || strings.HasSuffix(path, generatePath) || strings.HasSuffix(path, completionsPath)):
		return generate(r, body), nil
	case r.Method == http.MethodPost && strings.HasSuffix(path, showPath):
		return show(r, body), nil
	case reads && strings.HasSuffix(path, versionPath):
		return answer(r, http.StatusOK, map[string]string{"version": "0.0.0-echo"}), nil
	case reads && strings.HasSuffix(path, tagsPath):
		return answer(r, http.StatusOK, map[string]any{"models": []listed{itself()}}), nil
	case reads && strings.HasSuffix(path, psPath):
		return answer(r, http.StatusOK, map[string]any{"models": []listed{}}), nil // it takes no memory
	case reads && strings.HasSuffix(path, modelsPath):
		return answer(r, http.StatusOK, map[string]any{"object": "list", "data": []v1Model{itselfV1()}}), nil
	}
	if _, model, ok := strings.Cut(path, modelsPath+"/"); ok && reads {
		if !Is(model) {
			return unknown(r, model), nil
		}
		return answer(r, http.StatusOK, itselfV1()), nil
	}
	if reads && strings.HasSuffix(path, rootPath) {
		return respond(r, http.StatusOK, "text/plain; charset=utf-8", "The echo model is running: ask it at /api/chat and /api/generate, or give it a job at /jobs.\n"), nil
	}
	return respond(r, http.StatusNotFound, "text/plain", "404 page not found"), nil
}

// generate begins the answer to /api/chat, /api/generate or /v1/chat/completions.
func generate(r *http.Request, body []byte) *http.Response {
	if len(body) > mostBody {
		return refuse(r, http.StatusRequestEntityTooLarge, "%s: the request has more than %d bytes", Model, mostBody)
	}
	o, err := parseOptions(body)
	if err != nil {
		return refuse(r, http.StatusBadRequest, "%s: %v", Model, err)
	}
	var q request
	if err := json.Unmarshal(body, &q); err != nil {
		return refuse(r, http.StatusBadRequest, "%s: %v", Model, err)
	}
	if !Is(q.Model) {
		return unknown(r, q.Model)
	}
	text, found := q.Prompt, true
	if !strings.HasSuffix(r.URL.Path, generatePath) {
		text, found = q.lastOfUser()
	}
	if !found {
		return refuse(r, http.StatusBadRequest, "%s: there is no message of the role user to repeat", Model)
	}
	ctx, cancel := context.WithCancel(r.Context())
	a := &generation{ctx: ctx, close: cancel, begun: time.Now(), delay: o.delay, rest: text}
	contentType := "application/x-ndjson"
	switch v1 := strings.HasSuffix(r.URL.Path, completionsPath); {
	case v1:
		a.whole = q.Stream == nil || !*q.Stream
		a.form = newCompletion(&q)
		contentType = "text/event-stream"
	default:
		a.whole = q.Stream != nil && !*q.Stream
		a.form = ollamaForm{chat: strings.HasSuffix(r.URL.Path, chatPath)}
	}
	if a.whole {
		contentType = "application/json; charset=utf-8"
	}
	resp := respond(r, http.StatusOK, contentType, "")
	resp.Body, resp.ContentLength = a, -1
	return resp
}

// request is what the echo model reads of a request.
type request struct {
	Model    string    `json:"model"`
	Prompt   string    `json:"prompt"`
	Messages []message `json:"messages"`
	Stream   *bool     `json:"stream"`

	// Of /v1/chat/completions.
	StreamOptions struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
}

type message struct {
	Role    string  `json:"role"`
	Content content `json:"content"`
}

// content is a text, or, as clients of OpenAI have it, a list of parts of which some are
// texts.
type content string

func (c *content) UnmarshalJSON(b []byte) error {
	var parts []struct{ Text string }
	if json.Unmarshal(b, &parts) != nil {
		return json.Unmarshal(b, (*string)(c))
	}
	for _, p := range parts {
		*c += content(p.Text)
	}
	return nil
}

func (q *request) lastOfUser() (text string, found bool) {
	for _, m := range q.Messages {
		if m.Role == "user" {
			text, found = string(m.Content), true
		}
	}
	return text, found
}

// refuse says what is wrong, in the form that the path has errors in.
func refuse(r *http.Request, status int, format string, args ...any) *http.Response {
	text := fmt.Sprintf(format, args...)
	if !strings.Contains(r.URL.Path, "/v1/") {
		return answer(r, status, map[string]string{"error": text})
	}
	kind := "invalid_request_error"
	if status == http.StatusNotFound {
		kind = "not_found_error"
	}
	return answer(r, status, map[string]any{"error": map[string]any{"message": text, "type": kind, "param": nil, "code": nil}})
}

func unknown(r *http.Request, model string) *http.Response {
	return refuse(r, http.StatusNotFound, "model '%s' not found", model)
}

func answer(r *http.Request, status int, v any) *http.Response {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // texts and numbers always encode
	}
	return respond(r, status, "application/json; charset=utf-8", string(b))
}

func respond(r *http.Request, status int, contentType, body string) *http.Response {
	resp := &http.Response{
		Status: fmt.Sprintf("%d %s", status, http.StatusText(status)), StatusCode: status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:        http.Header{"Content-Type": {contentType}},
		Body:          io.NopCloser(strings.NewReader(body)),
		ContentLength: int64(len(body)), Request: r,
	}
	if r.Method == http.MethodHead {
		resp.Body = http.NoBody
	}
	return resp
}
