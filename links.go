package foreman

import (
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/oklog/ulid/v2"
)

// links are where the handler answers about one job.
type links struct {
	Self       string `json:"self"`
	Events     string `json:"events"`
	Artifacts  string `json:"artifacts"`
	Deliveries string `json:"deliveries"`
	Cancel     string `json:"cancel"`
	Retry      string `json:"retry"`
}

// linksTo gives the links of a job below a base.
func linksTo(base string, id ulid.ULID) links {
	self := jobURL(base, id)
	return links{
		Self: self, Events: self + "/events", Artifacts: self + "/artifacts",
		Deliveries: self + "/deliveries", Cancel: self + "/cancel", Retry: self + "/retry",
	}
}

func jobURL(base string, id ulid.ULID) string { return base + "/jobs/" + id.String() }

func artifactURL(base string, id ulid.ULID, name string) string {
	return jobURL(base, id) + "/artifacts/" + name
}

// What a base can be made of at most, in bytes.
const (
	maxPrefix = 1024
	maxHost   = 255
)

// base is what stands before every link in the answer to a request: the path that
// the handler is mounted under and, if proxies are trusted, what they say of the
// outside.
func (h *handler) base(r *http.Request) string {
	mount := mountOf(r)
	if !h.f.o.TrustForwarded {
		return mount
	}
	prefix := strings.TrimRight(forwarded(r, "X-Forwarded-Prefix"), "/")
	if !isPrefix(prefix) {
		prefix = ""
	}
	proto, host := strings.ToLower(forwarded(r, "X-Forwarded-Proto")), forwarded(r, "X-Forwarded-Host")
	if proto != "http" && proto != "https" || !isHost(host) {
		return prefix + mount
	}
	return proto + "://" + host + prefix + mount
}

// mountOf is what was taken off the path of a request on its way here, as
// [http.StripPrefix] does: as it was sent, with its escapes.
func mountOf(r *http.Request) string {
	full, _, _ := strings.Cut(r.RequestURI, "?")
	if !strings.HasPrefix(full, "/") { // the absolute form, as sent to proxies
		u, err := url.ParseRequestURI(full)
		if err != nil {
			return ""
		}
		full = u.EscapedPath()
	}
	mount, ok := strings.CutSuffix(full, r.URL.EscapedPath())
	if !ok || !isPrefix(mount) {
		return ""
	}
	return mount
}

// forwarded is the value of a header that the proxy nearest to the caller has set.
func forwarded(r *http.Request, name string) string {
	first, _, _ := strings.Cut(r.Header.Get(name), ",")
	return strings.TrimSpace(first)
}

// isPrefix accepts "" and clean absolute paths that stand for nothing but a path in
// whatever they are put in.
func isPrefix(s string) bool {
	if s == "" {
		return true
	}
	if len(s) > maxPrefix || s[0] != '/' || s == "/" || path.Clean(s) != s || !madeOf(s, "/-._~%!$&'()*+,;=:@") {
		return false
	}
	_, err := url.PathUnescape(s)
	return err == nil
}

// isHost accepts names and addresses, with a port or without.
func isHost(s string) bool {
	if s == "" || len(s) > maxHost || !madeOf(s, ".-_:[]") {
		return false
	}
	u, err := url.Parse("http://" + s)
	return err == nil && u.Host == s && u.Hostname() != ""
}

// madeOf reports whether s has only ASCII letters, digits and the others.
func madeOf(s, others string) bool {
	for i := range len(s) {
		c := s[i]
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && strings.IndexByte(others, c) < 0 {
			return false
		}
	}
	return true
}
