package daemon

import (
	"net/http"

	"github.com/foreman-go/foreman"
)

// routes is everything that is served. Without tokens anybody on this machine may use
// it, and no web page; with tokens, who shows one.
func routes(f *foreman.Foreman, gateway http.Handler, callers tokens, dev *trial) http.Handler {
	jobs := f.Handler()
	guarded := http.NewServeMux()
	guarded.Handle("/", jobs) // and a problem document for what is nowhere
	guarded.Handle("/api/", gateway)
	guarded.Handle("/v1/", gateway)
	guarded.Handle("GET /{$}", gateway) // where clients of Ollama look whether it is there
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
