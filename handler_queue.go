package foreman

import (
	"context"
	"net/http"
	"time"
)

// queueViewJSON is the queue as callers see it.
type queueViewJSON struct {
	Paused bool       `json:"paused"`
	Lanes  []laneJSON `json:"lanes"`
	More   int        `json:"more_lanes,omitempty"` // that are not shown
	Slots  []slotJSON `json:"slots"`
	Pools  []poolJSON `json:"pools"`
}

type laneJSON struct {
	Lane      string    `json:"lane"`
	Model     string    `json:"model,omitempty"`
	Jobs      int       `json:"jobs"`
	Callers   int       `json:"callers"`
	Priority  int       `json:"priority"`
	Since     time.Time `json:"oldest_since,omitzero"`
	OldestAge string    `json:"oldest_age,omitempty"`
	Paused    bool      `json:"paused"`
}

type slotJSON struct {
	Pool    string        `json:"pool"`
	Slot    int           `json:"slot"`
	Lane    string        `json:"lane,omitempty"`
	State   string        `json:"state"`
	Since   time.Time     `json:"loading_since,omitzero"`
	Places  int           `json:"places"`
	Running []runningJSON `json:"running"`
}

type runningJSON struct {
	JobID string    `json:"job_id,omitempty"`
	Model string    `json:"model"`
	Owner string    `json:"owner,omitempty"`
	Since time.Time `json:"since"`
}

type poolJSON struct {
	Pool string `json:"pool"`
	Up   bool   `json:"up"`
}

// mostLanes bounds how many lanes are shown.
const mostLanes = 1000

func (h *handler) queue(w http.ResponseWriter, r *http.Request) error {
	if _, err := parameters(r); err != nil {
		return err
	}
	return h.sendQueue(w, r)
}

func (h *handler) pause(w http.ResponseWriter, r *http.Request) error {
	return h.setPaused(w, r, h.f.Pause)
}

func (h *handler) resume(w http.ResponseWriter, r *http.Request) error {
	return h.setPaused(w, r, h.f.Resume)
}

func (h *handler) setPaused(w http.ResponseWriter, r *http.Request, set func(context.Context, ...string) error) error {
	if !CallerFrom(r.Context()).Admin {
		return explain(ErrForbidden, "only an admin may pause and resume the queue")
	}
	body, err := h.readBody(w, r)
	if err != nil {
		return err
	}
	lanes, err := parsePause(body)
	if err != nil {
		return err
	}
	if err := set(r.Context(), lanes...); err != nil {
		return err
	}
	return h.sendQueue(w, r)
}

// parsePause reads the body of POST /queue/pause and /queue/resume: nothing or an empty
// object for everything, or the name of a lane.
func parsePause(body []byte) (lanes []string, err error) {
	if len(body) == 0 {
		return nil, nil
	}
	if err := checkObject(body, `{"lane":"qwen3:30b"}, or nothing for all`); err != nil {
		return nil, err
	}
	for m := range members(body) {
		if string(m.name) != "lane" {
			return nil, explain(ErrInvalid, `%s is not a member of this: it has lane, or nothing for all`, clip(string(m.quoted), 64))
		}
		var lane string
		if err := setText("lane", m.value, &lane); err != nil {
			return nil, err
		}
		if lane == "" || len(lane) > maxLane {
			return nil, explain(ErrInvalid, "lane must have 1 to %d bytes: GET /queue lists those that wait", maxLane)
		}
		lanes = append(lanes, lane)
	}
	return lanes, nil
}

func (h *handler) sendQueue(w http.ResponseWriter, r *http.Request) error {
	q, err := h.f.Queue(r.Context())
	if err != nil {
		return err
	}
	return sendJSON(w, http.StatusOK, queueAsJSON(q, CallerFrom(r.Context()), h.f.now()))
}

// queueAsJSON gives the queue the form that it has in answers. Whose jobs run is told
// to admins, and to owners of their own.
func queueAsJSON(q *QueueView, c Caller, now time.Time) *queueViewJSON {
	out := &queueViewJSON{Paused: q.Paused, Lanes: []laneJSON{}, Slots: []slotJSON{}, Pools: []poolJSON{}}
	out.More = max(len(q.Lanes)-mostLanes, 0)
	for _, l := range q.Lanes[:len(q.Lanes)-out.More] {
		v := laneJSON{
			Lane: l.Lane, Model: l.Model, Jobs: l.Jobs, Callers: l.Callers, Priority: l.Priority,
			Since: l.Since.UTC(), Paused: l.Paused,
		}
		if !l.Since.IsZero() {
			v.OldestAge = max(now.Sub(l.Since), 0).Round(time.Millisecond).String()
		}
		out.Lanes = append(out.Lanes, v)
	}
	for _, s := range q.Slots {
		v := slotJSON{
			Pool: s.Pool, Slot: s.Number, Lane: s.Lane, State: s.State, Since: s.Since.UTC(), Places: s.Places,
			Running: []runningJSON{},
		}
		for _, x := range s.Running {
			j := runningJSON{Model: x.Model, Since: x.Since.UTC()}
			if c.sees(x.Owner) {
				j.Owner = x.Owner
				if !x.JobID.IsZero() {
					j.JobID = x.JobID.String()
				}
			}
			v.Running = append(v.Running, j)
		}
		out.Slots = append(out.Slots, v)
	}
	for _, p := range q.Pools {
		out.Pools = append(out.Pools, poolJSON{Pool: p.Name, Up: !p.Down})
	}
	return out
}
