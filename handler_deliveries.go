package foreman

import (
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/webhook"
)

// deliveryJSON is a delivery as callers see it.
type deliveryJSON struct {
	ID            string          `json:"id"`
	Sequence      uint64          `json:"sequence"`
	State         State           `json:"state"`
	URL           string          `json:"url"`
	Status        DeliveryStatus  `json:"status"`
	CreatedAt     time.Time       `json:"created_at,omitzero"`
	NextAttemptAt time.Time       `json:"next_attempt_at,omitzero"`
	WaitingFor    string          `json:"waiting_for,omitempty"`
	Attempts      []attemptJSON   `json:"attempts"`
	Links         redeliveryLinks `json:"links"`
}

type redeliveryLinks struct {
	Redeliver string `json:"redeliver"`
}

type attemptJSON struct {
	At         time.Time      `json:"at"`
	Duration   string         `json:"duration"`
	Phase      webhook.Phase  `json:"phase,omitempty"`
	Address    netip.AddrPort `json:"address,omitzero"`
	HTTPStatus int            `json:"http_status,omitempty"`
	Fault      webhook.Fault  `json:"fault,omitempty"`
	Error      string         `json:"error,omitempty"`
	Response   string         `json:"response,omitempty"`
}

// viewer is how much a caller is shown of attempts.
type viewer struct {
	owner bool // of the job: what receivers have answered
	admin bool // what is behind a name, which may be a private network, and the proxy
	// public reports whether an address may be shown to those who are no admins.
	public func(netip.AddrPort) bool
}

func (h *handler) viewer(r *http.Request, owner string) viewer {
	c := CallerFrom(r.Context())
	return viewer{owner: c.Owner == owner, admin: c.Admin, public: h.isPublic}
}

// isPublic accepts addresses that any receiver may have. What was connected to may be the
// egress proxy, which is nobody's business.
func (h *handler) isPublic(a netip.AddrPort) bool {
	return h.f.o.Webhook.Proxy == nil && h.f.guard.Check("", a) == nil
}

// deliveryAsJSON gives a delivery the form that it has in answers.
func deliveryAsJSON(d *Delivery, job string, v viewer) deliveryJSON {
	out := deliveryJSON{
		ID: d.ID, Sequence: d.Sequence, State: d.State, URL: d.URL, Status: d.Status, CreatedAt: d.CreatedAt.UTC(),
		NextAttemptAt: d.NextAttemptAt.UTC(), WaitingFor: d.WaitingFor, Attempts: []attemptJSON{},
		Links: redeliveryLinks{Redeliver: job + "/deliveries/" + d.ID + "/redeliver"},
	}
	for i := range d.Attempts {
		out.Attempts = append(out.Attempts, attemptAsJSON(&d.Attempts[i], v))
	}
	return out
}

// guarded is what those are told of a refused address who must not learn it.
const guarded = "webhook: the address of the host is not allowed; the operator can see which it is, and allow it"

func attemptAsJSON(a *DeliveryAttempt, v viewer) attemptJSON {
	out := attemptJSON{
		At: a.At.UTC(), Duration: a.Duration.Round(time.Microsecond).String(), Phase: a.Phase, Address: a.Address,
		HTTPStatus: a.HTTPStatus, Fault: a.Fault, Error: a.Error,
	}
	if v.owner {
		out.Response = a.Response
	}
	if v.admin {
		return out
	}
	if a.Fault == webhook.FaultGuard {
		out.Error = guarded
	}
	if a.Fault == webhook.FaultGuard || !v.public(a.Address) {
		out.Address = netip.AddrPort{}
	}
	return out
}

func (h *handler) deliveries(w http.ResponseWriter, r *http.Request) error {
	values, err := parameters(r, "limit", "cursor")
	if err != nil {
		return err
	}
	most, err := limit(values)
	if err != nil {
		return err
	}
	after, err := sequence("cursor", values.Get("cursor"))
	if err != nil {
		return err
	}
	e, err := h.found(r)
	if err != nil {
		return err
	}
	all, err := h.f.deliveries(r.Context(), e.ID)
	if err != nil {
		return err
	}
	base := jobURL(h.base(r), e.ID)
	out := struct {
		Deliveries []deliveryJSON `json:"deliveries"`
		Next       string         `json:"next,omitempty"`
	}{Deliveries: []deliveryJSON{}}
	for i := range all {
		if all[i].Sequence <= after {
			continue
		}
		if len(out.Deliveries) == most {
			values.Set("cursor", strconv.FormatUint(out.Deliveries[most-1].Sequence, 10))
			out.Next = base + "/deliveries?" + values.Encode()
			break
		}
		out.Deliveries = append(out.Deliveries, deliveryAsJSON(&all[i], base, h.viewer(r, e.Spec.Owner)))
	}
	return sendJSON(w, http.StatusOK, out)
}

func (h *handler) redeliver(w http.ResponseWriter, r *http.Request) error {
	e, err := h.found(r)
	if err != nil {
		return err
	}
	sequence, ok := sequenceOf(e.ID, r.PathValue("delivery"))
	if !ok {
		return explain(ErrNotFound, "job %s has no such delivery: GET /jobs/%[1]s/deliveries lists those it has", e.ID)
	}
	d, err := h.f.Redeliver(r.Context(), e.ID, sequence)
	if err != nil {
		return err
	}
	return sendJSON(w, http.StatusAccepted, deliveryAsJSON(d, jobURL(h.base(r), e.ID), h.viewer(r, e.Spec.Owner)))
}

// sequenceOf reads the id of a delivery of a job.
func sequenceOf(id ulid.ULID, delivery string) (uint64, bool) {
	digits, ok := strings.CutPrefix(delivery, id.String()+"-")
	n, err := strconv.ParseUint(digits, 10, 63)
	return n, ok && err == nil && deliveryID(id, n) == delivery
}
