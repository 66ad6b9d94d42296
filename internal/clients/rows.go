package clients

import (
	"fmt"
	"net/http"
	"strings"
)

// surface is one path that generates or embeds.
type surface struct {
	path string
	body string // with %s for the model, and further members after it
	v1   bool
}

const chatBody = `{"model":"%s","messages":[{"role":"user","content":"one <two> three"}]%s}`

func surfaces() []surface {
	return []surface{
		{"/api/chat", chatBody, false},
		{"/api/generate", `{"model":"%s","prompt":"one <two> three"%s}`, false},
		{"/api/embed", `{"model":"%s","input":["one","two three"]%s}`, false},
		{"/api/embeddings", `{"model":"%s","prompt":"one"%s}`, false},
		{"/v1/chat/completions", chatBody, true},
		{"/v1/completions", `{"model":"%s","prompt":"one <two> three"%s}`, true},
		{"/v1/embeddings", `{"model":"%s","input":["one","two three"]%s}`, true},
		{"/v1/responses", `{"model":"%s","input":"one <two> three"%s}`, true},
		{"/v1/messages", `{"max_tokens":100000,` + chatBody[1:], true},
	}
}

// ask is a request for a model; more are further members of its body.
func (s surface) ask(model, more string) []byte {
	return post(s.path, fmt.Sprintf(s.body, model, more))
}

// generates reports whether answers can be streamed.
func (s surface) generates() bool { return !strings.Contains(s.path, "embed") }

// answers are requests that are answered well.
func answers(add func(string, []byte)) {
	for _, s := range surfaces() {
		if !s.generates() {
			add("answer: "+s.path, s.ask("llama3", ""))
			continue
		}
		for _, model := range []string{"llama3", "talks", "long"} {
			add("streamed: "+s.path+" "+model, s.ask(model, `,"stream":true`))
			add("not streamed: "+s.path+" "+model, s.ask(model, `,"stream":false`))
		}
		add("stream not said: "+s.path, s.ask("llama3", ""))
	}
	for _, s := range surfaces()[4:6] {
		add("usage: "+s.path, s.ask("llama3", `,"stream":true,"stream_options":{"include_usage":true}`))
	}
	for _, path := range []string{"/", "/api/version", "/api/tags", "/v1/models", "/v1/models/llama3"} {
		add("read: "+path, get(path))
	}
	for _, path := range []string{"/", "/api/version", "/api/tags"} {
		add("read: HEAD "+path, raw(http.MethodHead, path, ""))
	}
	add("read: /api/show", post("/api/show", `{"model":"llama3"}`))
	add("base64", post("/v1/embeddings", `{"model":"llama3","input":"one","encoding_format":"base64"}`))
	add("Authorization", raw(http.MethodPost, "/api/chat", fmt.Sprintf(chatBody, "llama3", ""), "Authorization: Bearer x"))
	add("load, chat", post("/api/chat", `{"model":"llama3"}`))
	add("load, generate", post("/api/generate", `{"model":"llama3"}`))
	add("read: /api/ps", get("/api/ps"))
	add("unload, chat", post("/api/chat", `{"model":"llama3","keep_alive":0}`))
	add("unload, generate", post("/api/generate", `{"model":"llama3","keep_alive":0}`))
	add("longer than the context", post("/api/generate", `{"model":"llama3","prompt":"a b c","options":{"num_ctx":2}}`))
	add("large body", post("/api/generate", `{"model":"llama3","prompt":"`+strings.Repeat(strings.Repeat("a", 999)+" ", 8<<10)+`","options":{"num_predict":1}}`))
}

// clientsFaults are requests that are at fault themselves.
func clientsFaults(add func(string, []byte)) {
	for _, s := range surfaces() {
		add("unknown model: "+s.path, s.ask("none", ""))
		add("missing model: "+s.path, s.ask("", ""))
		add("busy: "+s.path, s.ask("busy", ""))
		add("empty body: "+s.path, post(s.path, ""))
		add("malformed: "+s.path, post(s.path, `{x`))
		add("cut body: "+s.path, post(s.path, `{"model":`))
		add("wrong type: "+s.path, post(s.path, `{"model":7}`))
		if s.generates() {
			add("unknown model, streamed: "+s.path, s.ask("none", `,"stream":true`))
		}
		if !s.v1 {
			add("wrong option: "+s.path, s.ask("llama3", `,"options":{"num_ctx":"many"}`))
		}
	}
	add("unknown model: /api/show", post("/api/show", `{"model":"none"}`))
	add("missing model: /api/show", post("/api/show", `{}`))
	add("empty body: /api/show", post("/api/show", ""))
	add("unknown model: /v1/models", get("/v1/models/none"))
	add("unknown model, unloaded", post("/api/chat", `{"model":"none","keep_alive":0}`))
	add("bad format", post("/api/generate", `{"model":"llama3","prompt":"a","format":"xml"}`))
	add("longer than the context, not to be cut", post("/api/generate", `{"model":"llama3","prompt":"a b c","truncate":false,"options":{"num_ctx":2}}`))
}

// endings are requests whose answers end without an end.
func endings(add func(string, []byte)) {
	for _, s := range surfaces() {
		if !s.generates() {
			continue
		}
		for _, model := range []string{"repeats", "dies", "cut"} {
			add(model+", streamed: "+s.path, s.ask(model, `,"stream":true`))
		}
		for _, model := range []string{"repeats", "dies"} { // of what is cut, nothing would come
			add(model+", not streamed: "+s.path, s.ask(model, `,"stream":false`))
		}
	}
}

// changes are requests that would change the server, if it were not so already.
func changes(add func(string, []byte)) {
	add("pull", post("/api/pull", `{"model":"llama3"}`))
	add("pull, not streamed", post("/api/pull", `{"model":"llama3","stream":false}`))
	add("pull of an unknown model", post("/api/pull", `{"model":"none"}`))
	add("push", post("/api/push", `{"model":"llama3"}`))
	add("create without anything", post("/api/create", `{"model":"made"}`))
	add("create", post("/api/create", `{"model":"llama3","from":"llama3"}`))
	add("copy", post("/api/copy", `{"source":"llama3","destination":"llama3"}`))
	add("copy of an unknown model", post("/api/copy", `{"source":"none","destination":"made"}`))
	add("delete of an unknown model", raw(http.MethodDelete, "/api/delete", `{"model":"none"}`))
	add("blob that exists", post(blobPath(weights), weights))
	add("blob that exists, not sent", []byte("POST "+blobPath(weights)+" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 86000000\r\n\r\n"))
	add("HEAD of a blob that exists", raw(http.MethodHead, blobPath(weights), ""))
	add("HEAD of an unknown blob", raw(http.MethodHead, blobPath("others"), ""))
	add("blob that is another", post(blobPath("others"), "not others"))
}
