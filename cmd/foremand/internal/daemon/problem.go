package daemon

import (
	"encoding/json"
	"net/http"
)

// problem is a problem document (RFC 9457) as the jobs surface has it. It also has
// the member that clients of a model server show to people.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Error  string `json:"error"` // the detail again
}

func sendProblem(w http.ResponseWriter, status int, kind, title, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(problem{Type: kind, Title: title, Status: status, Detail: detail, Error: detail})
}
