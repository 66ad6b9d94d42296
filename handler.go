package foreman

import (
	"errors"
	"net/http"
	"path"
	"slices"
	"strings"
)

// Handler returns the jobs surface: every path from /jobs on, the feed at /events,
// /queue and what is below it, /webhooks/check, and /healthz and /readyz.
//
// It can be mounted at the root of a server, beside other handlers (at /jobs and
// /jobs/), or with [http.StripPrefix] under any prefix: the links in its answers are
// right for the request that they answer, behind proxies too if
// [Options.TrustForwarded] is set. Errors are problem documents (RFC 9457), whose
// type is a [Code].
//
// It authenticates nobody: put that in front, and tell it with [WithCaller] whose
// requests they are.
//
// A body has at most 64 KiB more than [Options.MaxInput], a request waits for at most
// 60 seconds, a stream gives up on whoever does not read for 30 seconds, and at most
// 4,000 wait or stream at once. How long a request may take to arrive is for
// [http.Server] to bound: its ReadTimeout and WriteTimeout do not cut short those that
// wait or stream. Streams end with the context of their request; to shut down, cancel
// what [http.Server].BaseContext returned.
func (f *Foreman) Handler() http.Handler {
	h := &handler{f: f, mux: http.NewServeMux()}
	jobs := methods{http.MethodGet: h.list, http.MethodPost: h.submit}
	h.on("/jobs", jobs)
	h.on("/jobs/{$}", jobs) // where a mux with nothing but /jobs/ sends callers of /jobs
	h.on("/jobs/{id}", methods{http.MethodGet: h.status, http.MethodDelete: h.remove})
	h.on("/jobs/{id}/cancel", methods{http.MethodPost: h.cancel})
	h.on("/jobs/{id}/retry", methods{http.MethodPost: h.retry})
	h.on("/jobs/{id}/events", methods{http.MethodGet: h.stream})
	h.on("/jobs/{id}/artifacts", methods{http.MethodGet: h.artifacts})
	h.on("/jobs/{id}/artifacts/{name}", methods{http.MethodGet: h.artifact})
	h.on("/jobs/{id}/deliveries", methods{http.MethodGet: h.deliveries})
	h.on("/jobs/{id}/deliveries/{delivery}/redeliver", methods{http.MethodPost: h.redeliver})
	h.on("/webhooks/check", methods{http.MethodPost: h.checkWebhook})
	h.on("/queue", methods{http.MethodGet: h.queue})
	h.on("/queue/pause", methods{http.MethodPost: h.pause})
	h.on("/queue/resume", methods{http.MethodPost: h.resume})
	h.on("/events", methods{http.MethodGet: h.feed})
	h.on("/healthz", methods{http.MethodGet: h.healthy})
	h.on("/readyz", methods{http.MethodGet: h.ready})
	h.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { h.fail(w, r, errNoPath) })
	return h
}

var errNoPath = explain(ErrNotFound, "there is nothing at this path: jobs are at /jobs and /jobs/{id}, without a slash at the end")

type handler struct {
	f      *Foreman
	mux    *http.ServeMux
	scarce scarce
}

// ServeHTTP refuses what the mux would answer with a redirect, which would lead
// out of the prefix that the handler is mounted under.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p := r.URL.EscapedPath()
	clean := path.Clean(p)
	if clean[0] != '/' || clean == "/" || clean != strings.TrimSuffix(p, "/") {
		h.fail(w, r, errNoPath)
		return
	}
	if c := CallerFrom(r.Context()); !c.Admin && c.Owner == "" {
		h.fail(w, r, errors.New("WithCaller was given a caller who is no admin and has no owner"))
		return
	}
	h.mux.ServeHTTP(w, r)
}

// methods are what a path answers to. GET stands for HEAD too. An error is returned
// only before anything is written.
type methods map[string]func(http.ResponseWriter, *http.Request) error

func (h *handler) on(pattern string, m methods) {
	allow := strings.Join(m.names(), ", ")
	h.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		method := r.Method
		if method == http.MethodHead {
			method = http.MethodGet
		}
		serve, ok := m[method]
		if !ok {
			w.Header().Set("Allow", allow)
			h.fail(w, r, explain(ErrMethod, "use one of: %s", allow))
			return
		}
		if err := serve(w, r); err != nil {
			h.fail(w, r, err)
		}
	})
}

func (m methods) names() []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	if m[http.MethodGet] != nil {
		names = append(names, http.MethodHead)
	}
	slices.Sort(names)
	return names
}

func (h *handler) healthy(w http.ResponseWriter, _ *http.Request) error {
	return sendJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

func (h *handler) ready(w http.ResponseWriter, r *http.Request) error {
	down, err := h.f.readiness(r.Context())
	if err != nil {
		return err
	}
	return sendJSON(w, http.StatusOK, readyJSON{Status: "ready", OutOfReach: down})
}
