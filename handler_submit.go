package foreman

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"net/http"
	"strings"

	"github.com/foreman-go/foreman/internal/prefer"
)

// bodyRoom is what a body can be longer than the input in it.
const bodyRoom = 64 << 10

func (h *handler) submit(w http.ResponseWriter, r *http.Request) error {
	body, err := h.readBody(w, r)
	if err != nil {
		return err
	}
	spec, err := parseSpec(body)
	if err != nil {
		return err
	}
	if spec.IdempotencyKey, err = idempotencyKey(r.Header); err != nil {
		return err
	}
	if spec.IdempotencyKey != "" {
		sum := sha256.Sum256(body)
		spec.fingerprint = sum[:]
	}
	spec.Owner = CallerFrom(r.Context()).Owner
	spec.BaseURL = or(h.f.o.BaseURL, h.base(r))
	accepted, replayed, err := h.f.submit(r.Context(), spec)
	if err != nil {
		return err
	}
	status := http.StatusAccepted
	if replayed {
		status = http.StatusOK
		w.Header().Set("Idempotency-Replayed", "true")
	}
	j, err := h.hold(w, r, accepted)
	switch {
	case err != nil: // but the job is accepted, whatever comes of the waiting
	case !j.State.Terminal():
		accepted = j
	case h.answer(w, r, http.StatusOK, j) == nil:
		return nil
	}
	return h.answer(w, r, status, accepted)
}

// readBody reads a body that is no longer than the longest spec.
func (h *handler) readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	most := int64(h.f.o.MaxInput) + bodyRoom
	tooLarge := explain(ErrTooLarge, "the body has more than %d bytes: give large inputs by reference", most)
	if r.ContentLength > most {
		w.Header().Set("Connection", "close") // rather than read it all
		return nil, tooLarge
	}
	var b bytes.Buffer
	const trusted = 1 << 20 // what is set aside for a body that is only announced
	b.Grow(int(min(max(r.ContentLength, 0), trusted)) + bytes.MinRead)
	_, err := b.ReadFrom(http.MaxBytesReader(w, r.Body, most))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, tooLarge
	}
	if err != nil {
		return nil, explain(ErrMalformed, "the body ended before it was complete: send as many bytes as Content-Length says")
	}
	return b.Bytes(), nil
}

// idempotencyKey is the key of a request, as it is or as the quoted string that
// draft-ietf-httpapi-idempotency-key-header asks for; "" for none.
func idempotencyKey(h http.Header) (string, error) {
	lines := h.Values("Idempotency-Key")
	if len(lines) == 0 {
		return "", nil
	}
	key := prefer.Unquote(lines[0])
	unprintable := func(r rune) bool { return r < ' ' || r > '~' }
	if len(lines) > 1 || key == "" || len(key) > maxKey || strings.ContainsFunc(key, unprintable) {
		return "", explain(ErrMalformed, "send one Idempotency-Key, of 1 to %d printable ASCII characters", maxKey)
	}
	return key, nil
}
