package foreman_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
)

// bytes are those of an event of output.
func (e sseEvent) bytes(tb testing.TB) string {
	tb.Helper()
	require.Equal(tb, "output", e.event)
	var d struct{ Text, Base64 string }
	require.NoError(tb, json.Unmarshal([]byte(e.data), &d))
	raw, err := base64.StdEncoding.DecodeString(d.Base64)
	require.NoError(tb, err)
	require.True(tb, (d.Text == "") != (d.Base64 == ""), e.data)
	return d.Text + string(raw)
}

// Whoever comes back with the id of the last event that it had is told what follows, and
// nothing twice; it may also begin in the middle of a character.
func TestStreamResumesWithinOutput(t *testing.T) {
	f, g, id, task := held(t)
	a := newAPI(t, f)
	path := "/jobs/" + id.String() + "/events"
	const text = "ok \u20ac and \U0001F600, raw \xff."
	say(task, text[:6])
	s := a.stream(path)
	for _, want := range []string{"1", "2", "2:6"} {
		e, ok := s.next()
		require.True(t, ok)
		require.Equal(t, want, e.id)
	}
	say(task, text[6:])
	g.end <- nil
	_ = s.all()

	f, g, id, task = held(t)
	a = newAPI(t, f)
	path = "/jobs/" + id.String() + "/events"
	say(task, text)
	for from := 1; from < len(text); from++ {
		mark := "2:" + strconv.Itoa(from)
		for _, s := range []*sse{
			a.stream(path+"?after=1", "Last-Event-ID", mark),
			a.stream(path + "?after=" + mark),
		} {
			got := text[:from]
			for len(got) < len(text) {
				e, ok := s.next()
				require.True(t, ok)
				got += e.bytes(t)
				require.Equal(t, "2:"+strconv.Itoa(len(got)), e.id)
				require.Equal(t, text[:len(got)], got, "from %d", from)
			}
			require.NoError(t, s.resp.Body.Close())
		}
	}
	s = a.stream(path, "Last-Event-ID", "2:4") // within the euro sign
	e, _ := s.next()
	require.JSONEq(t, `{"base64":"gqw="}`, e.data)
	g.end <- nil
	all := s.all()
	require.Equal(t, "3 working>done with the job", all[len(all)-1])
}

// What is not there any more is told to be missing, and the id of that is one to go on
// from too.
func TestStreamResumesAfterAGap(t *testing.T) {
	f, g, id, task := held(t)
	a := newAPI(t, f)
	path := "/jobs/" + id.String() + "/events"
	task.Progress(0.25, "a quarter")
	text := numbers(window + 1000)
	say(task, text)
	s := a.stream(path, "Last-Event-ID", "2:8")
	e, _ := s.next()
	require.Equal(t, sseEvent{"gap", "2:1000", `{"missing":992}`}, e)
	e, _ = s.next()
	require.Equal(t, "progress 0.25 a quarter", e.short(t))
	s = a.stream(path, "Last-Event-ID", "2:1000")
	got := text[:1000]
	for len(got) < len(text) {
		if e, _ = s.next(); e.event == "output" {
			got += e.bytes(t)
		}
		require.NotEqual(t, "gap", e.event)
	}
	require.Equal(t, text, got)
	g.end <- nil
	require.Equal(t, []string{"3 working>done with the job"}, s.all())
	a.get(path, "Last-Event-ID", "3:1").is(http.StatusNoContent)
}

func TestStreamRefusesWhatIsNoMark(t *testing.T) {
	f := newForeman(t, newGate(), foreman.Options{})
	a := newAPI(t, f)
	path := a.post("/jobs", `{"model":"m"}`).header.Get("Location") + "/events"
	for _, mark := range []string{
		"x", "-1", "1.5", "1:", ":1", ":", "1:0", "1:-1", "1:01", "01:1", "+1:1", "1:+1", "1:1:1", "1 :1", "1:1x",
		"9223372036854775808:1", "1:9223372036854775808",
	} {
		a.get(path, "Last-Event-ID", mark).fails(http.StatusBadRequest, foreman.ErrMalformed)
	}
	r := a.get(path+"?after=2:x").fails(http.StatusBadRequest, foreman.ErrMalformed)
	require.Contains(t, string(r.body), "after must be the id of an event as it was given out")
}

// FuzzMark holds that a stream goes on from a mark as it is given out, and refuses
// everything else.
func FuzzMark(f *testing.F) {
	fm := newForeman(f, newGate(), foreman.Options{})
	h := fm.Handler()
	path := "/jobs/" + canceled(f, fm, submit(f, fm, foreman.Spec{})).String() + "/events"
	for _, seed := range []string{
		"1", "2", "1:5120", "0:1", "007", "1:0", "1:007", "1:+1", "-1:1", "1:", ":1", "1:2:3", "1.1:2", "1_0", "\u0661:1", "9223372036854775807:9223372036854775807",
		"9223372036854775808:1", "1:9223372036854775808", " 1", "1 ", "",
	} {
		f.Add(seed)
	}
	valid := regexp.MustCompile(`^(?:(\d+)|(0|[1-9]\d*):[1-9]\d*)$`)
	f.Fuzz(func(t *testing.T, mark string) {
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), "GET", path, http.NoBody)
		r.Header.Set("Last-Event-ID", mark)
		h.ServeHTTP(w, r)
		got := &reply{tb: t, status: w.Code, header: w.Header(), body: w.Body.Bytes()}
		m := valid.FindStringSubmatch(mark)
		ok := mark == "" || m != nil
		for part := range strings.SplitSeq(mark, ":") {
			if _, err := strconv.ParseInt(part, 10, 64); err != nil && mark != "" {
				ok = false // too large
			}
		}
		if !ok {
			got.fails(http.StatusBadRequest, foreman.ErrMalformed)
			return
		}
		after := int64(0)
		if m != nil {
			after, _ = strconv.ParseInt(m[1]+m[2], 10, 64)
		}
		if after >= 2 {
			got.is(http.StatusNoContent)
			return
		}
		got.is(http.StatusOK)
		require.Equal(t, 2-int(after), strings.Count(string(got.body), "event: state"))
	})
}
