package daemon

import (
	"io"
	"net/http"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/ollama"
)

const pointer = `This is foremand, a job queue in front of an Ollama server.
Jobs are at /jobs, what happens to them at /events, and Ollama's chat at /api/chat.
`

// routes is everything that is served. Without tokens anybody on this machine may use
// it, and no web page; with tokens, who shows one.
func routes(f *foreman.Foreman, server *ollama.Backend, callers tokens, dev *trial) http.Handler {
	jobs := f.Handler()
	guarded := http.NewServeMux()
	guarded.Handle("/", jobs) // and a problem document for what is nowhere
	guarded.Handle("/api/", server.Handler(f))
	guarded.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, pointer)
	})
	all := http.NewServeMux()
	all.Handle("/healthz", jobs)
	all.Handle("/readyz", jobs)
	if dev != nil {
		all.Handle("POST "+hookPath, dev.receiver) // it asks for a signature
	}
	if callers == nil {
		all.Handle("/", guarded)
		return localOnly(all)
	}
	all.Handle("/", callers.guard(guarded))
	return all
}
