package foreman

import (
	"net/http"
	"net/netip"
)

// webhookCheckJSON is what was seen of a webhook.
type webhookCheckJSON struct {
	URL       string               `json:"url"`
	Allowed   bool                 `json:"allowed"`
	Refused   string               `json:"refused,omitempty"`
	Addresses []webhookAddressJSON `json:"addresses"`
	ID        string               `json:"id"`
	Signed    bool                 `json:"signed"`
	Delivered bool                 `json:"delivered"`
	Attempt   *attemptJSON         `json:"attempt,omitempty"`
}

type webhookAddressJSON struct {
	Address netip.Addr `json:"address,omitzero"`
	Allowed bool       `json:"allowed"`
	Refused string     `json:"refused,omitempty"`
}

func (h *handler) checkWebhook(w http.ResponseWriter, r *http.Request) error {
	body, err := h.readBody(w, r)
	if err != nil {
		return err
	}
	url, err := parseWebhookCheck(body)
	if err != nil {
		return err
	}
	caller := CallerFrom(r.Context())
	v := h.viewer(r, caller.Owner) // whoever names the URL is shown what it answers
	c, err := h.f.checkWebhook(r.Context(), url, caller.Owner)
	if err != nil {
		return err
	}
	out := webhookCheckJSON{
		URL: c.URL, Allowed: c.Refused == "", Refused: c.Refused, Addresses: []webhookAddressJSON{},
		ID: c.ID, Signed: c.Signed, Delivered: c.Delivered,
	}
	for _, a := range c.Addresses {
		if a.Refused != "" && !v.admin {
			a = WebhookAddress{Refused: guarded}
		}
		out.Addresses = append(out.Addresses, webhookAddressJSON{Address: a.Address, Allowed: a.Refused == "", Refused: a.Refused})
	}
	if c.Attempt != nil {
		a := attemptAsJSON(c.Attempt, v)
		out.Attempt = &a
	}
	return sendJSON(w, http.StatusOK, out)
}

// parseWebhookCheck reads the body of POST /webhooks/check.
func parseWebhookCheck(body []byte) (url string, err error) {
	if err := checkObject(body, `{"url":"https://example.com/hook"}`); err != nil {
		return "", err
	}
	for m := range members(body) {
		if string(m.name) != "url" {
			return "", explain(ErrInvalid, `%s is not a member of a check: it has url`, clip(string(m.quoted), 64))
		}
		if err := setText("url", m.value, &url); err != nil {
			return "", err
		}
	}
	return url, nil
}
