package ollama

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/foreman-go/foreman/internal/prefer"
)

// async makes a call a job, by way of the jobs surface: as if its caller had posted it
// there.
func (s *surface) async(w http.ResponseWriter, r *http.Request, f form, model string, body []byte) {
	if _, err := parseObject(body); err != nil { // it might have members of the job behind it
		f.fail(w, http.StatusBadRequest, "the request body must be one JSON object to become a job")
		return
	}
	input := json.RawMessage(body)
	switch r.URL.Path {
	case chatPath, generatePath, embedPath:
		// A body may have members of more than one call, of which the path tells.
		if c, err := newCall(body, model, OllamaAPI); err == nil && c.path == r.URL.Path {
			break
		}
		fallthrough
	default:
		input = object{{"path", quote(r.URL.Path)}, {"body", body}}.bytes()
	}
	job := object{{"model", quote(model)}, {"input", input}}
	applied := []string{"respond-async"}
	if priority, ok := prefer.Priority(r.Header); ok {
		job.set("priority", json.RawMessage(strconv.Itoa(priority)), "")
		applied = append(applied, priorityPreference(priority))
	}
	q := withBody(r.Context(), r.Clone(r.Context()), job.bytes())
	q.Header.Set("Content-Type", "application/json")
	q.Header.Del("Content-Length")
	q.URL.Path, q.URL.RawPath, q.URL.RawQuery = "/jobs", "", ""
	q.RequestURI = s.mount(r) + "/jobs"
	s.jobs.ServeHTTP(&madeJob{ResponseWriter: w, applied: applied}, q)
}

// mount is the path that the jobs surface is mounted under, or, for a request in the
// absolute form, a URL with it.
func (s *surface) mount(r *http.Request) string {
	if s.o.Jobs != "" {
		return strings.TrimRight(s.o.Jobs, "/")
	}
	full, _, _ := strings.Cut(r.RequestURI, "?")
	mount, _ := strings.CutSuffix(full, r.URL.EscapedPath())
	return mount
}

// madeJob says that preferences were applied, if they were.
type madeJob struct {
	http.ResponseWriter
	applied []string
	begun   bool
}

// WriteHeader begins the answer.
func (w *madeJob) WriteHeader(status int) {
	if !w.begun && status/100 == 2 {
		for _, preference := range w.applied {
			w.Header().Add(appliedHeader, preference)
		}
	}
	w.begun = true
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets [http.ResponseController] find what w is made of.
func (w *madeJob) Unwrap() http.ResponseWriter { return w.ResponseWriter }
