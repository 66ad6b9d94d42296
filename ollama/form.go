package ollama

import (
	"encoding/json"
	"net/http"
)

// form is how a surface writes errors.
type form int

const (
	native    form = iota // {"error": "..."}
	openAI                // {"error": {"message": "...", "type": "...", ...}}
	anthropic             // {"type": "error", "error": {"type": "...", "message": "..."}}
	forms     = 3
)

// fail answers with an error, with the status, the header and the form that Ollama
// would give it.
func (f form) fail(w http.ResponseWriter, status int, text string) {
	contentType, body := "application/json", []byte(nil)
	switch f {
	case openAI:
		null := json.RawMessage("null")
		o := object{{"message", quote(text)}, {"type", quote(kindOf(status))}, {"param", null}, {"code", null}}
		body = append(object{{"error", o.bytes()}}.bytes(), '\n')
	case anthropic:
		kind := kindOf(status)
		switch status {
		case http.StatusForbidden:
			kind = "permission_error"
		case http.StatusRequestEntityTooLarge:
			kind = "request_too_large"
		case http.StatusServiceUnavailable:
			kind = "overloaded_error"
		}
		o := object{{"type", quote(kind)}, {"message", quote(text)}}
		body = append(object{{"type", quote("error")}, {"error", o.bytes()}}.bytes(), '\n')
	default:
		contentType += "; charset=utf-8"
		body = object{{"error", quote(text)}}.bytes()
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	write(w, body)
}

// kindOf is the type of an error for clients of /v1.
func kindOf(status int) string {
	switch status {
	case http.StatusBadRequest:
		return "invalid_request_error"
	case http.StatusNotFound:
		return "not_found_error"
	}
	return "api_error"
}

// notFound answers as Ollama does where it has nothing.
func notFound(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(http.StatusNotFound)
	write(w, []byte("404 page not found"))
}
