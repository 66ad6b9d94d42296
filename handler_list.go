package foreman

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
)

const (
	standardPage = 100
	maxPage      = 1000
	// How often a store is asked for one page: it looks at so many records at a time,
	// whether they match or not.
	pageReads = 4
)

func (h *handler) list(w http.ResponseWriter, r *http.Request) error {
	values, err := parameters(r, "state", "model", "label", "created_after", "created_before", "limit", "cursor")
	if err != nil {
		return err
	}
	q, err := parseQuery(values)
	if err != nil {
		return err
	}
	if c := CallerFrom(r.Context()); !c.Admin {
		q.Owner = c.Owner
	}
	base := h.base(r)
	out := struct {
		Jobs []*jobJSON `json:"jobs"`
		Next string     `json:"next,omitempty"`
	}{Jobs: []*jobJSON{}}
	wanted := q.Limit + 1 // one more tells whether there is a next page
	for reads := 0; reads < pageReads && len(out.Jobs) < wanted; reads++ {
		q.Limit = wanted - len(out.Jobs)
		page, err := h.f.List(r.Context(), q)
		if err != nil {
			return err
		}
		for _, j := range page.Jobs {
			out.Jobs = append(out.Jobs, jobAsJSON(j, base))
		}
		if q.Before = page.Next; q.Before.IsZero() {
			break
		}
	}
	var next string
	if len(out.Jobs) == wanted {
		out.Jobs = out.Jobs[:wanted-1]
		next = out.Jobs[len(out.Jobs)-1].JobID
	} else if !q.Before.IsZero() {
		next = q.Before.String()
	}
	if next != "" {
		values.Set("cursor", next)
		out.Next = base + "/jobs?" + values.Encode()
	}
	return sendJSON(w, http.StatusOK, out)
}

// feed gives the events of all jobs that the caller may know of. Its next link is
// there on the last page too, for what is yet to come.
func (h *handler) feed(w http.ResponseWriter, r *http.Request) error {
	values, err := parameters(r, "after", "limit")
	if err != nil {
		return err
	}
	var q FeedQuery
	if q.After, err = sequence("after", values.Get("after")); err != nil {
		return err
	}
	if q.Limit, err = limit(values); err != nil {
		return err
	}
	if c := CallerFrom(r.Context()); !c.Admin {
		q.Owner = c.Owner
	}
	out := struct {
		Events []eventJSON `json:"events"`
		Next   string      `json:"next"`
	}{Events: []eventJSON{}}
	wanted, more := q.Limit, true
	for reads := 0; reads < pageReads && more && len(out.Events) < wanted; reads++ {
		q.Limit = wanted - len(out.Events)
		page, err := h.f.Feed(r.Context(), q)
		if err != nil {
			return err
		}
		for i := range page.Events {
			e := eventAsJSON(&page.Events[i])
			e.Position = page.Events[i].Position
			out.Events = append(out.Events, e)
		}
		q.After, more = page.Next, page.More
	}
	values.Set("after", strconv.FormatUint(q.After, 10))
	out.Next = h.base(r) + "/events?" + values.Encode()
	return sendJSON(w, http.StatusOK, out)
}

// parameters are those of the query of a request. Unknown ones are refused: a filter
// that is misspelled would filter nothing.
func parameters(r *http.Request, known ...string) (url.Values, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, explain(ErrMalformed, "the query is not percent-encoded as it should be")
	}
	for name, all := range values {
		switch {
		case len(known) == 0:
			return nil, explain(ErrMalformed, "unknown query parameter %s: there are none here", strconv.Quote(clip(name, 64)))
		case !slices.Contains(known, name):
			return nil, explain(ErrMalformed, "unknown query parameter %s: use %s", strconv.Quote(clip(name, 64)), strings.Join(known, ", "))
		case len(all) > 1 && name != "label":
			return nil, explain(ErrMalformed, "the query parameter %s is given twice", name)
		case slices.Contains(all, ""):
			return nil, explain(ErrMalformed, "the query parameter %s is empty: leave it out", name)
		}
	}
	return values, nil
}

func parseQuery(values url.Values) (q Query, err error) {
	if q.Limit, err = limit(values); err != nil {
		return q, err
	}
	if q.State = State(values.Get("state")); q.State != "" && !q.State.valid() {
		return q, explain(ErrMalformed, "state must be queued, working, done, failed or canceled")
	}
	q.Model = values.Get("model")
	for name, to := range map[string]*time.Time{"created_after": &q.CreatedAfter, "created_before": &q.CreatedBefore} {
		if v := values.Get(name); v != "" && !parseTime(v, to) {
			return q, explain(ErrMalformed, "%s must be a time as in RFC 3339, such as 2030-01-31T08:00:00Z; write + as %%2B", name)
		}
	}
	if v := values.Get("cursor"); v != "" {
		if q.Before, err = ulid.ParseStrict(v); err != nil {
			return q, explain(ErrMalformed, "the cursor is not one: follow the next link of a list as it is")
		}
	}
	q.Labels, err = labelFilter(values["label"])
	return q, err
}

func labelFilter(pairs []string) (map[string]string, error) {
	if len(pairs) > maxLabels {
		return nil, explain(ErrMalformed, "a job has at most %d labels to filter by", maxLabels)
	}
	labels := make(map[string]string, len(pairs))
	for _, pair := range pairs {
		name, value, ok := strings.Cut(pair, "=")
		if _, twice := labels[name]; !ok || name == "" || twice {
			return nil, explain(ErrMalformed, "label must be given as label=name=value, once for each name")
		}
		labels[name] = value
	}
	return labels, nil
}

func limit(values url.Values) (int, error) {
	v := values.Get("limit")
	if v == "" {
		return standardPage, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || n > maxPage {
		return 0, explain(ErrMalformed, "limit must be a whole number from 1 to %d", maxPage)
	}
	return n, nil
}

// sequence reads the number of an event, after which others are wanted; 0 if there is
// none.
func sequence(name, v string) (uint64, error) {
	if v == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(v, 10, 63)
	if err != nil {
		return 0, explain(ErrMalformed, "%s must be the number of an event, as it was given out", name)
	}
	return n, nil
}
