package ollama

import (
	"context"
	"net/http"
	"net/http/httputil"
	"strings"
)

// server is a model server behind the surface.
type server struct {
	*Backend
	only func(model string) bool // which models are asked for there; nil for all
}

// has reports whether a model can be asked for there. Names are as lists have them.
func (s *server) has(model string) bool {
	return s.only == nil || s.only(model) || s.only(strings.TrimSuffix(model, ":latest"))
}

// read answers a call that keeps no model busy, and a wrong method.
func (s *surface) read(w http.ResponseWriter, r *http.Request, f form, servers []server) {
	path := r.URL.Path
	if len(servers) == 1 || !reads(r.Method) && path != showPath {
		s.passOn(w, r, f, servers)
		return
	}
	switch path {
	case tagsPath, psPath:
		s.list(w, r, f, servers, "models", "name")
	case v1ModelsPath:
		s.list(w, r, f, servers, "data", "id")
	case showPath:
		body, release, err := s.readBody(w, r)
		if err != nil {
			refuseBody(w, f, err)
			return
		}
		defer release()
		s.passOn(w, withBody(r.Context(), r, body), f, servers)
	default:
		s.passOn(w, r, f, servers)
	}
}

// passOn passes a call on to the first server that can be reached and does not answer
// 404, which the last one may.
func (s *surface) passOn(w http.ResponseWriter, r *http.Request, f form, servers []server) {
	to := servers[0].proxies[f]
	if len(servers) > 1 {
		first := servers[0].Backend
		to = first.newProxy(f, firstOf(servers), &buffers{})
		to.Rewrite = func(p *httputil.ProxyRequest) { withoutOurs(p.Out.Header) }
	}
	to.ServeHTTP(s.impatient(w), r)
}

// change passes on a call that changes a server. Its body can have any size, and is
// passed on as it comes.
func (s *surface) change(w http.ResponseWriter, r *http.Request, to server) {
	patient := s.impatient(w)
	if r.ContentLength != 0 {
		r = r.WithContext(r.Context())
		r.Body = &impatientBody{r.Body, patient.control, s.o.WriteTimeout}
	}
	to.proxies[native].ServeHTTP(patient, r)
	if !reads(r.Method) { // whoever has it pulled may ask for it next
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), findTimeout)
		defer cancel()
		_ = to.learn(ctx) // what is not learned now is later
	}
}

// firstOf sends a request to one server after the other, until one can be reached and
// has what was asked for.
type firstOf []server

// RoundTrip returns the first answer that is not 404, else the last one that is, else
// the last error.
func (f firstOf) RoundTrip(r *http.Request) (*http.Response, error) {
	var missing *http.Response
	var failed error
	for _, one := range f {
		resp, err := one.callers.RoundTrip(one.asked(r))
		if err != nil {
			failed = err
			continue
		}
		if missing != nil {
			missing.Body.Close()
		}
		if resp.StatusCode != http.StatusNotFound {
			return resp, nil
		}
		missing = resp
	}
	if missing != nil {
		return missing, nil
	}
	return nil, failed
}

// asked is a request as a server is sent it.
func (b *Backend) asked(r *http.Request) *http.Request {
	out := r.Clone(r.Context())
	if r.GetBody != nil {
		out.Body, _ = r.GetBody() // of bytes in memory, which does not fail
	}
	(&httputil.ProxyRequest{In: r, Out: out}).SetURL(b.url)
	return out
}
