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
	rootPath     = "/"
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
	case r.Method == http.MethodPost && (strings.HasSuffix(path, chatPath) || strings.HasSuffix(path, generatePath)):
		return generate(r, body), nil
	case reads && strings.HasSuffix(path, versionPath):
		return answer(r, http.StatusOK, map[string]string{"version": "0.0.0-echo"}), nil
	case reads && strings.HasSuffix(path, tagsPath):
		return answer(r, http.StatusOK, map[string]any{"models": []listed{itself()}}), nil
	}
	if reads && strings.HasSuffix(path, rootPath) {
		return respond(r, http.StatusOK, "text/plain; charset=utf-8", "The echo model is running: ask it at /api/chat and /api/generate, or give it a job at /jobs.\n"), nil
	}
	return respond(r, http.StatusNotFound, "text/plain", "404 page not found"), nil
}

// listed is a model as /api/tags has it.
type listed struct {
	Name       string    `json:"name"`
	Model      string    `json:"model"`
	ModifiedAt time.Time `json:"modified_at"`
	Size       int64     `json:"size"`
	Digest     string    `json:"digest"`
	Details    details   `json:"details"`
}

type details struct {
	Format   string   `json:"format"`
	Family   string   `json:"family"`
	Families []string `json:"families"`
}

func itself() listed {
	return listed{
		Name: Model, Model: Model, ModifiedAt: time.Unix(0, 0).UTC(), Digest: strings.Repeat("0", 64),
		Details: details{Format: "none", Family: Model, Families: []string{Model}},
	}
}

// generate begins the answer to /api/chat or /api/generate.
func generate(r *http.Request, body []byte) *http.Response {
	refuse := func(status int, format string, args ...any) *http.Response {
		return answer(r, status, map[string]string{"error": fmt.Sprintf(format, args...)})
	}
	if len(body) > mostBody {
		return refuse(http.StatusRequestEntityTooLarge, "%s: the request has more than %d bytes", Model, mostBody)
	}
	o, err := parseOptions(body)
	if err != nil {
		return refuse(http.StatusBadRequest, "%s: %v", Model, err)
	}
	var q request
	if err := json.Unmarshal(body, &q); err != nil {
		return refuse(http.StatusBadRequest, "%s: %v", Model, err)
	}
	if !Is(q.Model) {
		return refuse(http.StatusNotFound, "model '%s' not found", q.Model)
	}
	chat := strings.HasSuffix(r.URL.Path, chatPath)
	text, found := q.Prompt, true
	if chat {
		text, found = q.lastOfUser()
	}
	if !found {
		return refuse(http.StatusBadRequest, "%s: there is no message of the role user to repeat", Model)
	}
	ctx, cancel := context.WithCancel(r.Context())
	a := &generation{ctx: ctx, close: cancel, chat: chat, begun: time.Now(), delay: o.delay, rest: text}
	resp := respond(r, http.StatusOK, "application/x-ndjson", "")
	if q.Stream != nil && !*q.Stream {
		resp.Header.Set("Content-Type", "application/json; charset=utf-8")
		a.whole = true
	}
	resp.Body, resp.ContentLength = a, -1
	return resp
}

// request is what the echo model reads of a request.
type request struct {
	Model    string    `json:"model"`
	Prompt   string    `json:"prompt"`
	Messages []message `json:"messages"`
	Stream   *bool     `json:"stream"`
}

type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

func (q *request) lastOfUser() (text string, found bool) {
	for _, m := range q.Messages {
		if m.Role == "user" {
			text, found = m.Content, true
		}
	}
	return text, found
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
