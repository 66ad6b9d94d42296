package foreman_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
)

// jobMembers are the members of a body that are not part of an input.
var jobMembers = []string{"state_webhook_url", "webhook_events", "priority", "run_at", "queue_timeout", "run_timeout", "max_attempts", "labels"}

// FuzzSubmitBody holds that no body fails in any way but a 4xx, and that what is
// accepted reaches the backend as encoding/json reads it too.
func FuzzSubmitBody(f *testing.F) {
	for _, seed := range []string{
		`{"model":"m","input":{"a":[1,"}",{}]}}`,
		`{"model":"m","priority":1,"messages":[],"labels":{"a":"b"}}`,
		` { "prompt" : "\"" , "run_at" : "2030-01-01T00:00:00Z" , "model" : "m" } `,
		`{"\u006dodel":"m","\u0070riority":-1,"prompt":"\\"}`,
		`{"model":"m","queue_timeout":"1s","run_timeout":null,"max_attempts":1,"webhook_events":[],"state_webhook_url":null}`,
		`{"model":"m","state_webhook_url":"http://example.com","webhook_events":["done"]}`,
		`{"model":1}`, `{"model":"m","x":1}`, `[]`, `{`, ``, `{"model":"m","input":"\ud800"}`,
	} {
		f.Add([]byte(seed))
	}
	fm := newForeman(f, newGate(), foreman.Options{MaxInput: 1 << 16})
	h := fm.Handler()
	f.Fuzz(func(t *testing.T, body []byte) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "POST", "/jobs", bytes.NewReader(body)))
		r := &reply{tb: t, status: w.Code, header: w.Header(), body: w.Body.Bytes()}
		if r.status != http.StatusAccepted {
			require.GreaterOrEqual(t, r.status, 400)
			require.Less(t, r.status, 500)
			require.Equal(t, "application/problem+json", r.header.Get("Content-Type"))
			return
		}
		s := status(t, fm, parseID(t, r.job().JobID)).Spec
		var sent map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(body, &sent))
		var model string
		require.NoError(t, json.Unmarshal(sent["model"], &model))
		require.Equal(t, model, s.Model)
		_, chat := sent["messages"]
		_, generate := sent["prompt"]
		input, hasInput := sent["input"]
		switch {
		case hasInput:
			require.Equal(t, string(input), string(s.Input))
		case chat || generate:
			for _, name := range jobMembers {
				delete(sent, name)
			}
			var got map[string]json.RawMessage
			require.NoError(t, json.Unmarshal(s.Input, &got))
			require.Equal(t, sent, got)
		default:
			require.Equal(t, "null", string(s.Input))
			for name := range sent {
				require.True(t, name == "model" || slices.Contains(jobMembers, name), name)
			}
		}
		require.NoError(t, fm.Delete(t.Context(), canceled(t, fm, parseID(t, r.job().JobID))))
	})
}

// FuzzCursor holds that a list begins where its cursor says or not at all.
func FuzzCursor(f *testing.F) {
	fm := newForeman(f, newGate(), foreman.Options{})
	h := fm.Handler()
	var ids []string
	for range 4 {
		ids = append([]string{submit(f, fm, foreman.Spec{}).String()}, ids...)
	}
	for _, seed := range []string{ids[0], ids[3], "00000000000000000000000000", "7ZZZZZZZZZZZZZZZZZZZZZZZZZ", "8ZZZZZZZZZZZZZZZZZZZZZZZZZ", "", "x", "\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, cursor string) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/jobs?cursor="+url.QueryEscape(cursor), http.NoBody))
		r := &reply{tb: t, status: w.Code, header: w.Header(), body: w.Body.Bytes()}
		if r.status != http.StatusOK {
			r.fails(http.StatusBadRequest, foreman.ErrMalformed)
			return
		}
		id := parseID(t, cursor)
		var want []string
		for _, one := range ids {
			if id.IsZero() || one < id.String() {
				want = append(want, one)
			}
		}
		var p struct{ Jobs []wireJob }
		r.into(&p)
		var got []string
		for _, j := range p.Jobs {
			got = append(got, j.JobID)
		}
		require.Equal(t, want, got)
	})
}
