package foreman_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
)

const (
	malformed = foreman.ErrMalformed
	invalid   = foreman.ErrInvalid
)

// Nothing that cannot be a job becomes one, or fails in any way but a 4xx that says
// what is wrong.
func TestHostileBodies(t *testing.T) {
	a := newAPI(t, newForeman(t, newGate(), foreman.Options{MaxInput: 1 << 20}))
	long := strings.Repeat("x", 1<<19)
	for _, tc := range []struct {
		name, body string
		status     int
		code       foreman.Code
		says       string
	}{
		{"nothing", "", 400, malformed, "empty"},
		{"space", " \n", 400, malformed, "empty"},
		{"not JSON", "model=m&input=1", 400, malformed, ""},
		{"truncated", `{"model":"m","input":"abc`, 400, malformed, ""},
		{"truncated after a name", `{"model"`, 400, malformed, ""},
		{"more behind it", `{"model":"m"} {"model":"m"}`, 400, malformed, ""},
		{"a trailing comma", `{"model":"m",}`, 400, malformed, ""},
		{"a byte order mark", "\ufeff" + `{"model":"m"}`, 400, malformed, ""},
		{"invalid UTF-8", "{\"model\":\"m\",\"input\":\"\xff\"}", 400, malformed, "UTF-8"},
		{"half a surrogate pair", `{"model":"m","input":"\ud800"}`, 400, malformed, ""},
		{"a raw NUL", "{\"model\":\"m\",\"input\":\"\x00\"}", 400, malformed, ""},
		{"too deep", `{"model":"m","input":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + "}", 400, malformed, "256"},
		{"far too deep", strings.Repeat("[", 500_000), 400, malformed, "256"},
		{"a name twice", `{"model":"m","model":"n"}`, 400, malformed, "model"},
		{"a name twice in two spellings", `{"model":"m","mode\u006c":"n"}`, 400, malformed, "model"},
		{"a name twice further down", `{"model":"m","input":{"a":[{"b":1,"b":2}]}}`, 400, malformed, `b`},
		{"an array", `[{"model":"m"}]`, 400, malformed, "object"},
		{"a string", `"model"`, 400, malformed, "object"},
		{"null", `null`, 400, malformed, "object"},

		{"no model", `{"input":1}`, 422, invalid, "model"},
		{"no model in shorthand", `{"prompt":"hi"}`, 422, invalid, "model"},
		{"null for a model", `{"model":null}`, 422, invalid, "model"},
		{"a number for a model", `{"model":1}`, 422, invalid, "model must be a string"},
		{"an empty model", `{"model":""}`, 422, invalid, "model"},
		{"a NUL in the model", `{"model":"a\u0000b"}`, 422, invalid, "model"},
		{"a line break in the model", `{"model":"a\r\nb"}`, 422, invalid, "model"},
		{"a long model", `{"model":"` + long + `"}`, 422, invalid, "model"},
		{"a name in another case", `{"Model":"m"}`, 422, invalid, `"Model" is not a member`},
		{"an unknown member", `{"model":"m","inputs":1}`, 422, invalid, `"inputs"`},
		{"a long unknown member", `{"model":"m","` + long + `":1}`, 422, invalid, `xxx`},
		{"a member of a model server beside an input", `{"model":"m","input":"text","truncate":true}`, 422, invalid, `"truncate"`},
		{"input and prompt", `{"model":"m","input":null,"prompt":"p"}`, 422, invalid, `"prompt"`},
		{"a shorthand in another case", `{"model":"m","Prompt":"p"}`, 422, invalid, `"Prompt"`},
		{"an empty name", `{"model":"m","":1}`, 422, invalid, `""`},

		{"a webhook that is an object", `{"model":"m","state_webhook_url":{}}`, 422, invalid, "state_webhook_url must be a string"},
		{"a webhook inside", `{"model":"m","state_webhook_url":"http://127.0.0.1/"}`, 422, foreman.ErrWebhookRefused, "state_webhook_url"},
		{"a webhook inside, in shorthand", `{"model":"m","prompt":"","state_webhook_url":"http://[::1]/"}`, 422, foreman.ErrWebhookRefused, "state_webhook_url"},
		{"a webhook of another scheme", `{"model":"m","state_webhook_url":"file:///etc/passwd"}`, 422, foreman.ErrWebhookRefused, "state_webhook_url"},
		{"a long webhook", `{"model":"m","state_webhook_url":"http://example.com/` + long + `"}`, 422, foreman.ErrWebhookRefused, "2048"},
		{"events that are a string", `{"model":"m","webhook_events":"done"}`, 422, invalid, "webhook_events"},
		{"an event that is a number", `{"model":"m","webhook_events":["done",1]}`, 422, invalid, "webhook_events"},
		{"an event that is not", `{"model":"m","webhook_events":["` + long + `"]}`, 422, invalid, "webhook_events"},
		{"events without a webhook", `{"model":"m","webhook_events":["done"]}`, 422, invalid, "state_webhook_url"},
		{"many events", `{"model":"m","state_webhook_url":"http://example.com/","webhook_events":["done"` + strings.Repeat(`,"done"`, 16) + `]}`, 422, invalid, "webhook_events"},

		{"a priority that is a string", `{"model":"m","priority":"1"}`, 422, invalid, "priority"},
		{"a priority with a fraction", `{"model":"m","priority":1.5}`, 422, invalid, "priority"},
		{"a priority with an exponent", `{"model":"m","priority":1e1}`, 422, invalid, "priority"},
		{"a high priority", `{"model":"m","priority":101}`, 422, invalid, "from -100 to 100"},
		{"a huge priority", `{"model":"m","priority":99999999999999999999}`, 422, invalid, "priority"},
		{"no attempts", `{"model":"m","max_attempts":0}`, 422, invalid, "max_attempts"},
		{"negative attempts", `{"model":"m","max_attempts":-1}`, 422, invalid, "max_attempts"},
		{"attempts that are true", `{"model":"m","max_attempts":true}`, 422, invalid, "max_attempts"},
		{"a time that is a number", `{"model":"m","run_at":1893456000}`, 422, invalid, "run_at"},
		{"a time without a zone", `{"model":"m","run_at":"2030-01-01T00:00:00"}`, 422, invalid, "run_at"},
		{"a time in another form", `{"model":"m","run_at":"tomorrow"}`, 422, invalid, "run_at"},
		{"a time with an hour of one digit", `{"model":"m","run_at":"2030-01-01T0:00:00Z"}`, 422, invalid, "run_at"},
		{"a time far away", `{"model":"m","run_at":"9999-01-01T00:00:00Z"}`, 422, invalid, "run_at"},
		{"a timeout that is a number", `{"model":"m","queue_timeout":90}`, 422, invalid, "queue_timeout"},
		{"a timeout without a unit", `{"model":"m","queue_timeout":"90"}`, 422, invalid, "queue_timeout"},
		{"a negative timeout", `{"model":"m","run_timeout":"-1s"}`, 422, invalid, "run_timeout"},
		{"a timeout of nothing", `{"model":"m","run_timeout":"0s"}`, 422, invalid, "run_timeout"},
		{"a long timeout", `{"model":"m","run_timeout":"2000000h"}`, 422, invalid, "run_timeout"},
		{"a timeout beyond numbers", `{"model":"m","queue_timeout":"9999999999999h"}`, 422, invalid, "queue_timeout"},

		{"labels that are an array", `{"model":"m","labels":["a"]}`, 422, invalid, "labels"},
		{"a label that is a number", `{"model":"m","labels":{"a":1}}`, 422, invalid, `"a"`},
		{"a label that is null", `{"model":"m","labels":{"a":null}}`, 422, invalid, `"a"`},
		{"a label without a name", `{"model":"m","labels":{"":"x"}}`, 422, invalid, "labels"},
		{"a label with = in its name", `{"model":"m","labels":{"a=b":"x"}}`, 422, invalid, "labels"},
		{"a NUL in a label", `{"model":"m","labels":{"a":"\u0000"}}`, 422, invalid, "labels"},
		{"a long label", `{"model":"m","labels":{"a":"` + long + `"}}`, 422, invalid, "labels"},
		{"many labels", `{"model":"m","labels":` + manyMembers(50_000) + `}`, 422, invalid, "labels"},
		{"many unknown members", manyMembers(50_000), 422, invalid, `"n0"`},

		{"an input of more than the limit", `{"model":"m","input":"` + strings.Repeat("x", 1<<20) + `"}`, 413, foreman.ErrTooLarge, "1048576"},
		{"a shorthand of more than the limit", `{"model":"m","prompt":"` + strings.Repeat("x", 1<<20) + `"}`, 413, foreman.ErrTooLarge, "1048576"},
		{"a body of more than the limit", strings.Repeat(" ", 1<<20+64<<10+1), 413, foreman.ErrTooLarge, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a.tb = t
			r := a.post("/jobs", tc.body).fails(tc.status, tc.code)
			require.Contains(t, strings.ReplaceAll(string(r.body), `\"`, `"`), tc.says)
			require.Zero(t, a.jobs())
		})
	}
}

func manyMembers(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"n%d":"x"`, i)
	}
	return "{" + b.String()[1:] + "}"
}

func TestHostilePaths(t *testing.T) {
	f := newForeman(t, newGate(), foreman.Options{})
	a := newAPI(t, f)
	id := submit(t, f, foreman.Spec{}).String()
	before := status(t, f, parseID(t, id))
	for _, tc := range []struct {
		path   string
		status int
		code   foreman.Code
	}{
		{"/", 404, foreman.ErrNotFound},
		{"//", 404, foreman.ErrNotFound},
		{"/job", 404, foreman.ErrNotFound},
		{"/jobs//", 404, foreman.ErrNotFound},
		{"//jobs", 404, foreman.ErrNotFound},
		{"/./jobs", 404, foreman.ErrNotFound},
		{"/x/../jobs", 404, foreman.ErrNotFound},
		{"/Jobs", 404, foreman.ErrNotFound},
		{"/jobs/" + id + "/", 404, foreman.ErrNotFound},
		{"/jobs/" + id + "//artifacts", 404, foreman.ErrNotFound},
		{"/jobs/" + id + "/nothing", 404, foreman.ErrNotFound},
		{"/jobs/" + id + "/artifacts/x/y", 404, foreman.ErrNotFound},
		{"/jobs/01ARZ3NDEKTSV4RRFFQ69G5FAV", 404, foreman.ErrNotFound},
		{"/jobs/01ARZ3NDEKTSV4RRFFQ69G5FA", 400, malformed},
		{"/jobs/01ARZ3NDEKTSV4RRFFQ69G5FAVX", 400, malformed},
		{"/jobs/01ARZ3NDEKTSV4RRFFQ69G5FAU", 400, malformed},
		{"/jobs/91ARZ3NDEKTSV4RRFFQ69G5FAV", 400, malformed},
		{"/jobs/" + id[:25] + "%00", 400, malformed},
		{"/jobs/..%2f" + id, 400, malformed},
		{"/jobs/%2e%2e", 400, malformed},
		{"/jobs/%ff%fe", 400, malformed},
		{"/jobs/" + strings.Repeat("A", 10_000), 400, malformed},
		{"/jobs/x/events", 400, malformed},
		{"/jobs/x/artifacts", 400, malformed},
		{"/jobs/x/artifacts/y", 400, malformed},
		{"/jobs/" + id + "/artifacts/x", 404, foreman.ErrNotFound},
		{"/jobs/" + id + "/artifacts/..%2f..%2fforeman.db", 404, foreman.ErrNotFound},
		{"/jobs/" + id + "/artifacts/%2e%2e", 404, foreman.ErrNotFound},
		{"/jobs/" + id + "/artifacts/..%5cx", 404, foreman.ErrNotFound},
		{"/jobs/" + id + "/artifacts/%2fetc%2fpasswd", 404, foreman.ErrNotFound},
		{"/jobs/" + id + "/artifacts/x%00.txt", 404, foreman.ErrNotFound},
		{"/jobs/" + id + "/artifacts/%0d%0aSet-Cookie:a", 404, foreman.ErrNotFound},
		{"/jobs/" + id + "/artifacts/" + strings.Repeat("x", 10_000), 404, foreman.ErrNotFound},
		{"/jobs/" + id + "/artifacts/..", 404, foreman.ErrNotFound},
		{"/jobs/" + id + "/artifacts//x", 404, foreman.ErrNotFound},
		{"/jobs/" + id + "/events?after=-1", 400, malformed},
		{"/jobs/" + id + "/events?after=x", 400, malformed},
		{"/jobs/" + id + "/events?after=18446744073709551615", 400, malformed},
		{"/jobs?limit=0", 400, malformed},
		{"/jobs?limit=1001", 400, malformed},
		{"/jobs?limit=ten", 400, malformed},
		{"/jobs?limit=", 400, malformed},
		{"/jobs?limit=1&limit=2", 400, malformed},
		{"/jobs?state=finished", 400, malformed},
		{"/jobs?states=done", 400, malformed},
		{"/jobs?cursor=x", 400, malformed},
		{"/jobs?cursor=01ARZ3NDEKTSV4RRFFQ69G5FAU", 400, malformed},
		{"/jobs?cursor=%00", 400, malformed},
		{"/jobs?created_after=yesterday", 400, malformed},
		{"/jobs?created_before=2030-01-01T00:00:00+02:00", 400, malformed},
		{"/jobs?label=team", 400, malformed},
		{"/jobs?label==blue", 400, malformed},
		{"/jobs?label=a=1&label=a=2", 400, malformed},
		{"/jobs?" + strings.Repeat("label=a=1&", 17), 400, malformed},
		{"/jobs?model=%zz", 400, malformed},
		{"/jobs?" + strings.Repeat("x", 10_000) + "=1", 400, malformed},
		{"/events?after=x", 400, malformed},
		{"/events?after=-1", 400, malformed},
		{"/events?limit=0", 400, malformed},
		{"/events?since=1", 400, malformed},
	} {
		t.Run(tc.path[:min(len(tc.path), 80)], func(t *testing.T) {
			code, contentType := a.raw(t, "GET "+tc.path+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
			require.Equal(t, tc.status, code)
			require.Equal(t, "application/problem+json", contentType)
		})
	}
	a.get("/jobs/"+id+"/events", "Last-Event-ID", "x").fails(http.StatusBadRequest, malformed)
	after := status(t, f, parseID(t, id))
	require.Equal(t, before, after)
	require.Equal(t, 1, a.jobs())
}

// raw sends bytes as they are: clients clean up paths.
func (a *api) raw(t *testing.T, request string) (status int, contentType string) {
	t.Helper()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(a.url, "http://"))
	require.NoError(t, err)
	defer func() { _ = c.Close() }()
	_, err = c.Write([]byte(request))
	require.NoError(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	return resp.StatusCode, resp.Header.Get("Content-Type")
}

func TestABodyThatBreaksOff(t *testing.T) {
	a := newAPI(t, newForeman(t, newGate(), foreman.Options{}))
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(a.url, "http://"))
	require.NoError(t, err)
	_, err = c.Write([]byte("POST /jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{\"model\":\"m\"}"))
	require.NoError(t, err)
	require.NoError(t, c.(*net.TCPConn).CloseWrite())
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusBadRequest, resp.StatusCode)
	require.NoError(t, resp.Body.Close())
	require.NoError(t, c.Close())
	require.Zero(t, a.jobs())
}
