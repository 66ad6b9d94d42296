package ollama

import (
	"net/http"
	"strings"
)

// The calls that keep a model busy. A job can be any of them.
const (
	chatPath            = "/api/chat"
	generatePath        = "/api/generate"
	embedPath           = "/api/embed"
	embeddingsPath      = "/api/embeddings"
	chatCompletionsPath = "/v1/chat/completions"
	completionsPath     = "/v1/completions"
	v1EmbeddingsPath    = "/v1/embeddings"
	responsesPath       = "/v1/responses"
	messagesPath        = "/v1/messages"
)

// The calls whose answers are put together from those of several servers.
const (
	tagsPath     = "/api/tags"
	psPath       = "/api/ps"
	v1ModelsPath = "/v1/models"
	showPath     = "/api/show"
)

// kind is what becomes of a call.
type kind int

const (
	unknown    kind = iota // not found
	generation             // waits for its turn
	reading                // passed on at once
	changing               // refused, unless it is allowed
)

// route is what is known of a path.
type route struct {
	kind kind
	form form
}

// routeOf finds the route of a path. Paths that are not exactly those of Ollama are
// unknown: what stands in front of it might take another one for a call that is to be
// refused.
func routeOf(path string) route {
	switch path {
	case chatPath, generatePath, embedPath, embeddingsPath:
		return route{generation, native}
	case chatCompletionsPath, completionsPath, v1EmbeddingsPath, responsesPath:
		return route{generation, openAI}
	case messagesPath:
		return route{generation, anthropic}
	case "/", tagsPath, psPath, "/api/version", showPath:
		return route{reading, native}
	case v1ModelsPath:
		return route{reading, openAI}
	case "/api/pull", "/api/push", "/api/create", "/api/copy", "/api/delete":
		return route{changing, native}
	}
	if name, ok := strings.CutPrefix(path, v1ModelsPath+"/"); ok && name != "" {
		return route{reading, openAI}
	}
	if strings.HasPrefix(path, "/api/blobs/") {
		return route{changing, native}
	}
	return route{}
}

// onV1 reports whether a path is one that servers of OpenAI's API have too.
func onV1(path string) bool { return strings.HasPrefix(path, "/v1/") }

// reads reports whether a method changes nothing.
func reads(method string) bool { return method == http.MethodGet || method == http.MethodHead }
