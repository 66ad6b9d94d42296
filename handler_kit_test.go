package foreman_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
)

var update = flag.Bool("update", false, "write the golden files anew")

// api is a server with the handler of a Foreman, and its client.
type api struct {
	tb  testing.TB
	f   *foreman.Foreman
	url string // of the server
	c   *http.Client
}

func newAPI(tb testing.TB, f *foreman.Foreman) *api {
	return serveAt(tb, f, f.Handler())
}

// serveAt is newAPI for a handler that has something around it.
func serveAt(tb testing.TB, f *foreman.Foreman, h http.Handler) *api {
	tb.Helper()
	s := httptest.NewServer(h)
	tb.Cleanup(s.Close)
	c := s.Client()
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &api{tb: tb, f: f, url: s.URL, c: c}
}

// reply is an answer, read to its end.
type reply struct {
	tb     testing.TB
	status int
	header http.Header
	body   []byte
}

// do makes a request. headers are names and values in turn.
func (a *api) do(method, path, body string, headers ...string) *reply {
	a.tb.Helper()
	target := path
	if !strings.HasPrefix(path, "http://") {
		target = a.url + path
	}
	req, err := http.NewRequestWithContext(a.tb.Context(), method, target, strings.NewReader(body))
	require.NoError(a.tb, err)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	resp, err := a.c.Do(req)
	require.NoError(a.tb, err)
	defer func() { _ = resp.Body.Close() }()
	got, err := io.ReadAll(resp.Body)
	require.NoError(a.tb, err)
	return &reply{tb: a.tb, status: resp.StatusCode, header: resp.Header, body: got}
}

func (a *api) get(path string, headers ...string) *reply {
	a.tb.Helper()
	return a.do("GET", path, "", headers...)
}

func (a *api) post(path, body string, headers ...string) *reply {
	a.tb.Helper()
	return a.do("POST", path, body, headers...)
}

// is requires a status, and returns the reply.
func (r *reply) is(status int) *reply {
	r.tb.Helper()
	require.Equal(r.tb, status, r.status, "%s", r.body)
	return r
}

// fails requires a problem document.
func (r *reply) fails(status int, code foreman.Code) *reply {
	r.tb.Helper()
	r.is(status)
	require.Equal(r.tb, "application/problem+json", r.header.Get("Content-Type"))
	var p struct {
		Type, Title, Detail string
		Status              int
	}
	r.into(&p)
	require.Equal(r.tb, string(code), p.Type, "%s", r.body)
	require.Equal(r.tb, status, p.Status)
	require.NotEmpty(r.tb, p.Title)
	require.NotEmpty(r.tb, p.Detail)
	require.Less(r.tb, len(r.body), 4096, "an answer does not grow with what was sent")
	return r
}

func (r *reply) into(v any) {
	r.tb.Helper()
	require.NoError(r.tb, json.Unmarshal(r.body, v), "%s", r.body)
}

// wireJob is what the tests read of a job.
type wireJob struct {
	JobID     string `json:"job_id"`
	State     foreman.State
	Model     string
	Attempt   int
	Priority  int
	Labels    map[string]string
	Result    json.RawMessage
	Error     *foreman.Error
	Progress  *foreman.Progress
	Artifacts []wireArtifact
	Webhook   *foreman.WebhookStatus
	Links     map[string]string
}

type wireArtifact struct {
	Name        string
	ContentType string `json:"content_type"`
	Size        int64
	SHA256      string
	Data        *string
	Encoding    string
	URL         string
	DataRemoved bool `json:"data_removed"`
}

func (r *reply) job() wireJob {
	r.tb.Helper()
	require.Equal(r.tb, "application/json", r.header.Get("Content-Type"))
	var j wireJob
	r.into(&j)
	return j
}

// jobs is how many jobs there are.
func (a *api) jobs() int {
	a.tb.Helper()
	p, err := a.f.List(a.tb.Context(), foreman.Query{Limit: 1000})
	require.NoError(a.tb, err)
	return len(p.Jobs)
}

var varying = []struct {
	pattern *regexp.Regexp
	stands  string
}{
	{regexp.MustCompile(`[0-7][0-9A-HJKMNP-TV-Z]{25}`), "ID"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`), "TIME"},
	{regexp.MustCompile(`http://127\.0\.0\.1:\d+`), "SERVER"},
}

// golden compares a reply with a file of testdata, without ids and times.
func (r *reply) golden(name string) {
	r.tb.Helper()
	var b bytes.Buffer
	require.NoError(r.tb, json.Indent(&b, r.body, "", "  "))
	got := b.String() + "\n"
	for _, v := range varying {
		got = v.pattern.ReplaceAllString(got, v.stands)
	}
	file := filepath.Join("testdata", "handler", name+".json")
	if *update {
		require.NoError(r.tb, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(r.tb, os.WriteFile(file, []byte(got), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(r.tb, err, "go test -update writes it")
	require.Equal(r.tb, string(want), got)
}

// serveWith is newAPI for a server with settings of its own.
func serveWith(tb testing.TB, f *foreman.Foreman, set func(*http.Server)) *api {
	tb.Helper()
	s := httptest.NewUnstartedServer(f.Handler())
	set(s.Config)
	s.Start()
	tb.Cleanup(s.Close)
	return &api{tb: tb, f: f, url: s.URL, c: s.Client()}
}

func parseID(tb testing.TB, s string) ulid.ULID {
	tb.Helper()
	id, err := ulid.ParseStrict(s)
	require.NoError(tb, err)
	return id
}

// canceled cancels a job that has not begun, and returns its id.
func canceled(tb testing.TB, f *foreman.Foreman, id ulid.ULID) ulid.ULID {
	tb.Helper()
	j, err := f.Cancel(tb.Context(), id)
	require.NoError(tb, err)
	require.Equal(tb, foreman.Canceled, j.State)
	return id
}
