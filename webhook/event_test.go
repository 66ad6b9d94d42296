package webhook_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/webhook"
)

// ended is an event with every field.
func ended() webhook.Event {
	return webhook.Event{
		JobID:         "01JD3Z8W9K6T5QF2V7N4X1B0CG",
		State:         "done",
		PreviousState: "working",
		Timestamp:     time.Date(2026, 11, 24, 3, 4, 5, 670_000_000, time.FixedZone("CET", 3600)),
		Model:         "qwen3:30b",
		Attempt:       2,
		Sequence:      4,
		Result:        json.RawMessage(`{"text": "a < b & c"}`),
		Error:         json.RawMessage(`null`),
		Artifacts: webhook.FormatArtifacts("01JD3Z8W9K6T5QF2V7N4X1B0CG", []webhook.ArtifactMeta{
			{Name: "answer.txt", ContentType: "text/plain; charset=utf-8", Data: []byte("<b>R&D</b>\n")},
			{Name: "pixel.bin", ContentType: "application/octet-stream", Data: []byte{0xff, 0x00, 0xfe}},
			{Name: "film.mp4", ContentType: "video/mp4", Size: 300_000},
		}),
	}
}

func TestEventBody(t *testing.T) {
	first, err := webhook.Event{
		JobID:     "01JD3Z8W9K6T5QF2V7N4X1B0CG",
		State:     "queued",
		Timestamp: time.Date(2026, 11, 24, 2, 4, 5, 0, time.UTC),
		Model:     "qwen3:30b",
	}.MarshalJSON()
	require.NoError(t, err)
	golden(t, "event_first", first)

	last, err := ended().MarshalJSON()
	require.NoError(t, err)
	golden(t, "event_last", last)
}

func TestEventSurvivesMarshalAndUnmarshal(t *testing.T) {
	want := ended()
	body, err := json.Marshal(want)
	require.NoError(t, err)
	var got webhook.Event
	require.NoError(t, json.Unmarshal(body, &got))
	require.True(t, got.Timestamp.Equal(want.Timestamp))
	require.Equal(t, time.UTC, got.Timestamp.Location())
	require.JSONEq(t, string(want.Result), string(got.Result))
	require.JSONEq(t, string(want.Artifacts), string(got.Artifacts))
	require.Equal(t, want.Sequence, got.Sequence)
}

func TestEventBodyIsUTF8(t *testing.T) {
	body, err := webhook.Event{
		JobID:  "a\xffb",
		Result: json.RawMessage("\"c\xff\xfed\""),
		Error:  json.RawMessage("\"\u2028\uFFFD\U0001F600\""),
	}.MarshalJSON()
	require.NoError(t, err)
	require.Contains(t, string(body), `"job_id":"a\ufffdb"`)
	require.Contains(t, string(body), "\"result\":\"c\uFFFDd\"")
	require.Contains(t, string(body), "\"error\":\"\u2028\uFFFD\U0001F600\"")
}

func TestEventBodyErrors(t *testing.T) {
	for name, e := range map[string]webhook.Event{
		"result that is not JSON":    {Result: json.RawMessage(`{"a":`)},
		"error that is not JSON":     {Error: json.RawMessage(`oops`)},
		"artifacts that are not one": {Artifacts: json.RawMessage(`[] []`)},
		"year with five digits":      {Timestamp: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := e.MarshalJSON()
			require.Error(t, err)
		})
	}
}

// The quick way and the general way write the same.
func TestEventsAreWrittenAlike(t *testing.T) {
	for _, e := range []webhook.Event{
		{},
		{JobID: "01J", State: "queued", Timestamp: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Model: "m", Sequence: 1},
		{JobID: "01J", State: "working", PreviousState: "queued", Timestamp: time.Date(2026, 1, 2, 3, 4, 5, 678900000, time.FixedZone("", 3600)), Model: "qwen3:30b", Attempt: 12, Sequence: 1 << 60},
		{Model: `quo"ted`},
		{Model: `back\slash`},
		{Model: "<&>"},
		{Model: "umläut"},
		{Model: "\x7f\x00"},
		{Model: "a/b"},
	} {
		got, err := e.MarshalJSON()
		require.NoError(t, err)
		type plain webhook.Event
		e.Timestamp = e.Timestamp.UTC()
		var want bytes.Buffer
		enc := json.NewEncoder(&want)
		enc.SetEscapeHTML(false)
		require.NoError(t, enc.Encode(plain(e)))
		require.Equal(t, strings.TrimSpace(want.String()), string(got))
	}
}
