package foreman_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
)

// leaves makes jobs that end with an artifact too large to be inlined.
var leavesAnArtifact = foreman.BackendFunc(func(_ context.Context, task *foreman.Task) error {
	_, err := task.Artifact("large.bin", "", strings.NewReader(strings.Repeat("x", 262_145)))
	return err
})

// follow goes where every link of an answer leads, from the outside.
func (a *api) follow(origin string, list ...string) {
	a.tb.Helper()
	for _, link := range list {
		require.NotEmpty(a.tb, link)
		if strings.HasPrefix(link, "/") {
			link = origin + link
		}
		status := a.get(link).status
		require.Contains(a.tb, []int{http.StatusOK, http.StatusMethodNotAllowed}, status, link)
	}
}

// followAll makes a job at a base and follows every link that it, the lists and the
// events hand out.
func (a *api) followAll(base string) {
	a.tb.Helper()
	root, err := url.Parse(a.url)
	require.NoError(a.tb, err)
	origin := root.Scheme + "://" + root.Host
	for range 2 {
		r := a.post(base+"/jobs", `{"model":"m"}`, "Prefer", "wait=30").is(http.StatusOK)
		require.Equal(a.tb, r.job().Links["self"], r.header.Get("Location"))
		require.True(a.tb, strings.HasSuffix(r.job().Links["self"], base+"/jobs/"+r.job().JobID), r.job().Links["self"])
		for _, link := range r.job().Links {
			a.follow(origin, link)
		}
		a.follow(origin, r.job().Artifacts[0].URL)
	}
	var page struct {
		Jobs []wireJob
		Next string
	}
	a.get(base + "/jobs?limit=1&model=m").is(http.StatusOK).into(&page)
	require.Len(a.tb, page.Jobs, 1)
	a.follow(origin, page.Next)
	for _, link := range page.Jobs[0].Links {
		a.follow(origin, link)
	}
	var feed struct{ Next string }
	a.get(base + "/events?limit=1").is(http.StatusOK).into(&feed)
	a.follow(origin, feed.Next)
	stream := a.get(base + "/jobs/" + page.Jobs[0].JobID + "/events").is(http.StatusOK)
	require.Contains(a.tb, string(stream.body), `"self":"`+page.Jobs[0].Links["self"]+`"`)
	var list struct{ Artifacts []wireArtifact }
	a.get(base + "/jobs/" + page.Jobs[0].JobID + "/artifacts").is(http.StatusOK).into(&list)
	a.follow(origin, list.Artifacts[0].URL)
}

func TestMounts(t *testing.T) {
	mounted := func(t *testing.T, o foreman.Options, base string, mount func(h http.Handler) http.Handler) {
		f := newForeman(t, leavesAnArtifact, o)
		start(t, f)
		serveAt(t, f, mount(f.Handler())).followAll(base)
	}
	t.Run("at the root", func(t *testing.T) {
		mounted(t, foreman.Options{}, "", func(h http.Handler) http.Handler { return h })
	})
	t.Run("beside others", func(t *testing.T) {
		mounted(t, foreman.Options{}, "", func(h http.Handler) http.Handler {
			mux := http.NewServeMux()
			mux.Handle("/jobs", h)
			mux.Handle("/jobs/", h)
			mux.Handle("/events", h)
			mux.HandleFunc("/", http.NotFound)
			return mux
		})
	})
	t.Run("under a prefix", func(t *testing.T) {
		mounted(t, foreman.Options{}, "/api/v1", func(h http.Handler) http.Handler {
			mux := http.NewServeMux()
			mux.Handle("/api/v1/", http.StripPrefix("/api/v1", h))
			return mux
		})
	})
	t.Run("under a prefix with escapes", func(t *testing.T) {
		mounted(t, foreman.Options{}, "/a%20b/%C3%A9", func(h http.Handler) http.Handler {
			return http.StripPrefix("/a b/é", h)
		})
	})
	t.Run("under two prefixes", func(t *testing.T) {
		mounted(t, foreman.Options{}, "/api/v1", func(h http.Handler) http.Handler {
			return http.StripPrefix("/api", http.StripPrefix("/v1", h))
		})
	})
	t.Run("behind a proxy with a prefix of its own", func(t *testing.T) {
		f := newForeman(t, leavesAnArtifact, foreman.Options{TrustForwarded: true})
		start(t, f)
		inside := httptest.NewServer(http.StripPrefix("/v1", f.Handler()))
		t.Cleanup(inside.Close)
		target, err := url.Parse(inside.URL)
		require.NoError(t, err)
		proxy := http.StripPrefix("/outside", &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(target)
			p.SetXForwarded()
			p.Out.Header.Set("X-Forwarded-Prefix", "/outside")
		}})
		a := serveAt(t, f, proxy)
		a.followAll("/outside/v1")
		r := a.post("/outside/v1/jobs", `{"model":"m"}`)
		require.Equal(t, a.url+"/outside/v1/jobs/"+r.job().JobID, r.header.Get("Location"))
	})
}

// A mux that has the handler at /jobs/ alone sends callers of /jobs there.
func TestOnlyTheSubtree(t *testing.T) {
	f := newForeman(t, newGate(), foreman.Options{})
	mux := http.NewServeMux()
	mux.Handle("/jobs/", f.Handler())
	a := serveAt(t, f, mux)
	r := a.post("/jobs", `{"model":"m"}`)
	require.Contains(t, []int{http.StatusTemporaryRedirect, http.StatusPermanentRedirect, http.StatusMovedPermanently}, r.status)
	r = a.post(r.header.Get("Location"), `{"model":"m"}`).is(http.StatusAccepted)
	require.Equal(t, "/jobs/"+r.job().JobID, r.header.Get("Location"))
}

func TestForwarded(t *testing.T) {
	trusting := newForeman(t, newGate(), foreman.Options{TrustForwarded: true})
	wary := newForeman(t, newGate(), foreman.Options{})
	for _, tc := range []struct {
		name                string
		f                   *foreman.Foreman
		proto, host, prefix string
		want                string
	}{
		{"all", trusting, "https", "jobs.example.com", "/a/b", "https://jobs.example.com/a/b"},
		{"a port", trusting, "http", "jobs.example.com:8443", "", "http://jobs.example.com:8443"},
		{"an address", trusting, "HTTPS", "[2001:db8::1]:443", "", "https://[2001:db8::1]:443"},
		{"a slash at the end", trusting, "", "", "/a/", "/a"},
		{"the root", trusting, "", "", "/", ""},
		{"lists: the first", trusting, "https, http", "a.example, b.example", "/a, /b", "https://a.example/a"},
		{"escapes", trusting, "", "", "/a%20b", "/a%20b"},
		{"no host", trusting, "https", "", "/a", "/a"},
		{"no scheme", trusting, "", "jobs.example.com", "/a", "/a"},
		{"another scheme", trusting, "javascript", "jobs.example.com", "", ""},
		{"a path in the host", trusting, "https", "jobs.example.com/x", "", ""},
		{"a user in the host", trusting, "https", "me@jobs.example.com", "", ""},
		{"markup in the host", trusting, "https", `jobs.example.com"><script>`, "", ""},
		{"a port that is none", trusting, "https", "jobs.example.com:x", "", ""},
		{"half an address", trusting, "https", "[2001:db8::1", "", ""},
		{"a long host", trusting, "https", strings.Repeat("a", 256), "", ""},
		{"a relative prefix", trusting, "", "", "a/b", ""},
		{"a prefix that is a host", trusting, "", "", "//evil.example", ""},
		{"a prefix that climbs", trusting, "", "", "/a/../..", ""},
		{"a prefix with a query", trusting, "", "", "/a?b", ""},
		{"a prefix with markup", trusting, "", "", `/a"<b>`, ""},
		{"a prefix with half an escape", trusting, "", "", "/a%2", ""},
		{"a long prefix", trusting, "", "", "/" + strings.Repeat("a", 1024), ""},
		{"nobody is trusted", wary, "https", "jobs.example.com", "/a/b", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := newAPI(t, tc.f)
			r := a.post("/jobs", `{"model":"m"}`, "X-Forwarded-Proto", tc.proto, "X-Forwarded-Host", tc.host, "X-Forwarded-Prefix", tc.prefix)
			r.is(http.StatusAccepted)
			require.Equal(t, tc.want+"/jobs/"+r.job().JobID, r.header.Get("Location"))
		})
	}
}

// What a client writes into its request line is no part of links, but for the path
// that the handler is mounted under.
func TestRequestTargets(t *testing.T) {
	f := newForeman(t, newGate(), foreman.Options{})
	for target, want := range map[string]string{
		"http://evil.example/jobs":        "/jobs/",
		"http://evil.example/api/jobs?x=": "/api/jobs/",
		"/api/jobs?x=/jobs":               "/api/jobs/",
	} {
		r := httptest.NewRequestWithContext(t.Context(), "POST", target, strings.NewReader(`{"model":"m"}`))
		w := httptest.NewRecorder()
		http.StripPrefix(strings.TrimSuffix(r.URL.Path, "/jobs"), f.Handler()).ServeHTTP(w, r)
		require.Equal(t, http.StatusAccepted, w.Code)
		require.True(t, strings.HasPrefix(w.Header().Get("Location"), want), "%s gives %s", target, w.Header().Get("Location"))
	}
	r := httptest.NewRequestWithContext(t.Context(), "POST", "/jobs", strings.NewReader(`{"model":"m"}`))
	r.RequestURI = "/something/else"
	w := httptest.NewRecorder()
	f.Handler().ServeHTTP(w, r)
	require.True(t, strings.HasPrefix(w.Header().Get("Location"), "/jobs/"))
}
