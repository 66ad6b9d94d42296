package ollamatest

import (
	"cmp"
	"encoding/json"
	"net/http"
)

// What changes the server: in the form that Ollama has, without a registry behind
// it, so that only models which are there already can be pulled.

// changeRequest is a request to pull, push, create or delete.
type changeRequest struct {
	Model  string            `json:"model"`
	Name   string            `json:"name"`
	Stream *bool             `json:"stream"`
	From   string            `json:"from"`
	Files  map[string]string `json:"files"`
}

func (q *changeRequest) name() string { return cmp.Or(q.Model, q.Name) }

// progress answers with a line for each status, and an error at the end if there is
// one; or with the last of them alone.
func progress(w http.ResponseWriter, q *changeRequest, problem string, statuses ...any) {
	if q.Stream != nil && !*q.Stream {
		if problem != "" {
			fail(w, http.StatusInternalServerError, "%s", problem)
			return
		}
		reply(w, http.StatusOK, statuses[len(statuses)-1])
		return
	}
	if problem != "" {
		statuses = append(statuses, map[string]string{"error": problem})
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	for _, v := range statuses {
		b, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		send(w, append(b, '\n'))
		w.(http.Flusher).Flush()
	}
}

func status(text string) any { return map[string]string{"status": text} }

// layer is how far the one layer of a model has been moved, which is all of it.
func layer(verb, name string) any {
	type response struct {
		Status    string `json:"status"`
		Digest    string `json:"digest"`
		Total     int64  `json:"total"`
		Completed int64  `json:"completed"`
	}
	d := digest(tagged(name))
	return response{verb + " " + d[:12], "sha256:" + d, modelSize, modelSize}
}

func (s *Server) pull(w http.ResponseWriter, r *http.Request, _ Request) {
	var q changeRequest
	switch {
	case !decode(w, r, &q):
	case q.name() == "":
		fail(w, http.StatusBadRequest, "invalid model name")
	case !s.models.has(q.name()):
		progress(w, &q, "pull model manifest: file does not exist", status("pulling manifest"))
	default:
		progress(w, &q, "", status("pulling manifest"), layer("pulling", q.name()),
			status("verifying sha256 digest"), status("writing manifest"), status("success"))
	}
}

func (s *Server) push(w http.ResponseWriter, r *http.Request, _ Request) {
	var q changeRequest
	switch {
	case !decode(w, r, &q):
	case q.name() == "":
		fail(w, http.StatusBadRequest, "model is required")
	case !s.models.has(q.name()):
		progress(w, &q, "file does not exist", status("retrieving manifest"), status("couldn't retrieve manifest"))
	default:
		progress(w, &q, "", status("retrieving manifest"), layer("pushing", q.name()), status("pushing manifest"), status("success"))
	}
}

func (s *Server) create(w http.ResponseWriter, r *http.Request, _ Request) {
	var q changeRequest
	if !decode(w, r, &q) {
		return
	}
	b, from := s.models.get(q.From)
	switch {
	case q.name() == "":
		fail(w, http.StatusBadRequest, "invalid model name")
	case q.From == "" && len(q.Files) == 0:
		fail(w, http.StatusBadRequest, "neither 'from' or 'files' was specified")
	case q.From != "" && !from:
		progress(w, &q, "pull model manifest: file does not exist", status("pulling manifest"))
	default:
		s.models.set(q.name(), b)
		progress(w, &q, "", status("writing manifest"), status("success"))
	}
}

func (s *Server) copy(w http.ResponseWriter, r *http.Request, _ Request) {
	type CopyRequest struct {
		Source      string `json:"source"`
		Destination string `json:"destination"`
	}
	var q CopyRequest
	if !decode(w, r, &q) {
		return
	}
	b, ok := s.models.get(q.Source)
	switch {
	case q.Source == "":
		fail(w, http.StatusBadRequest, "source %q is invalid", q.Source)
	case q.Destination == "":
		fail(w, http.StatusBadRequest, "destination %q is invalid", q.Destination)
	case !ok:
		fail(w, http.StatusNotFound, "model %q not found", q.Source)
	default:
		s.models.set(q.Destination, b)
		w.WriteHeader(http.StatusOK)
	}
}

func (s *Server) delete(w http.ResponseWriter, r *http.Request, _ Request) {
	var q changeRequest
	switch {
	case !decode(w, r, &q):
	case q.name() == "":
		fail(w, http.StatusBadRequest, "name %q is invalid", q.name())
	case !s.models.has(q.name()):
		fail(w, http.StatusNotFound, "model '%s' not found", q.name())
	default:
		s.sched.unload(tagged(q.name()))
		s.models.delete(q.name())
		w.WriteHeader(http.StatusOK)
	}
}
