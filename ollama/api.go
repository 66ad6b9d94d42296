package ollama

import (
	"net/url"
	"strings"
)

// API is what a model server speaks.
type API string

// What there is. An empty API is [OllamaAPI].
const (
	// OllamaAPI is Ollama's own API, with those of OpenAI and Anthropic below /v1.
	OllamaAPI API = "ollama"
	// OpenAIAPI is OpenAI's API below /v1 and nothing else, as vLLM, the server of
	// llama.cpp and LM Studio have it.
	OpenAIAPI API = "openai"
)

// base is where the paths of the API begin. The URL of a server of OpenAI's API is often
// written with the /v1 that its paths begin with.
func (a API) base(u *url.URL) *url.URL {
	if a == OpenAIAPI {
		u.Path = strings.TrimRight(strings.TrimSuffix(u.Path, "/v1"), "/")
	}
	return u
}

// checkPath is what shows that a server is there.
func (a API) checkPath() string {
	if a == OpenAIAPI {
		return v1ModelsPath
	}
	return "/api/version"
}

// listPath is what lists the models that a server has.
func (a API) listPath() string {
	if a == OpenAIAPI {
		return v1ModelsPath
	}
	return tagsPath
}

// pathOf is the call that an input is which does not say.
func (a API) pathOf(messages, prompt, texts bool) string {
	native, v1 := generatePath, completionsPath
	switch {
	case messages:
		native, v1 = chatPath, chatCompletionsPath
	case texts && !prompt:
		native, v1 = embedPath, v1EmbeddingsPath
	}
	if a == OpenAIAPI {
		return v1
	}
	return native
}
