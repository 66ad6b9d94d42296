package ollamatest

import (
	"net"
	"net/http"
	"strings"
)

// endpoint is one path of the API.
type endpoint struct {
	methods []string // in the order in which Allow names them
	infer   bool     // needs a model loaded
	unread  bool     // answers before the body is read
	serve   func(*Server, http.ResponseWriter, *http.Request, Request)
}

func find(path string) (endpoint, bool) {
	post, get := []string{http.MethodPost}, []string{http.MethodGet}
	either := []string{http.MethodHead, http.MethodGet}
	if dir, name, ok := cutLast(path, "/"); ok && name != "" {
		switch dir {
		case "/v1/models":
			return endpoint{methods: get, serve: (*Server).openAIModel}, true
		case "/api/blobs":
			return endpoint{methods: []string{http.MethodHead, http.MethodPost}, unread: true, serve: (*Server).blob}, true
		}
	}
	switch path {
	case "/":
		return endpoint{methods: either, serve: (*Server).root}, true
	case "/api/version":
		return endpoint{methods: either, serve: (*Server).version}, true
	case "/api/tags":
		return endpoint{methods: either, serve: (*Server).tags}, true
	case "/api/ps":
		return endpoint{methods: get, serve: (*Server).ps}, true
	case "/api/show":
		return endpoint{methods: post, serve: (*Server).show}, true

	case "/api/chat":
		return endpoint{methods: post, infer: true, serve: (*Server).chat}, true
	case "/api/generate":
		return endpoint{methods: post, infer: true, serve: (*Server).generate}, true
	case "/api/embed":
		return endpoint{methods: post, infer: true, serve: (*Server).embed}, true
	case "/api/embeddings":
		return endpoint{methods: post, infer: true, serve: (*Server).embeddings}, true

	case "/api/pull":
		return endpoint{methods: post, serve: (*Server).pull}, true
	case "/api/push":
		return endpoint{methods: post, serve: (*Server).push}, true
	case "/api/create":
		return endpoint{methods: post, serve: (*Server).create}, true
	case "/api/copy":
		return endpoint{methods: post, serve: (*Server).copy}, true
	case "/api/delete":
		return endpoint{methods: []string{http.MethodDelete}, serve: (*Server).delete}, true

	case "/v1/chat/completions":
		return endpoint{methods: post, infer: true, serve: (*Server).openAIChat}, true
	case "/v1/completions":
		return endpoint{methods: post, infer: true, serve: (*Server).openAICompletions}, true
	case "/v1/embeddings":
		return endpoint{methods: post, infer: true, serve: (*Server).openAIEmbeddings}, true
	case "/v1/responses":
		return endpoint{methods: post, infer: true, serve: (*Server).openAIResponses}, true
	case "/v1/messages":
		return endpoint{methods: post, infer: true, serve: (*Server).anthropicMessages}, true
	case "/v1/models":
		return endpoint{methods: get, serve: (*Server).openAIModels}, true
	}
	return endpoint{}, false
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// foreign reports whether a Host header names another machine.
func foreign(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host != "localhost" && (ip == nil || !ip.IsLoopback())
}

func foreignOrigin(origin string) bool {
	_, host, ok := strings.Cut(origin, "://")
	return ok && foreign(host)
}
