package foreman

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"

	"github.com/oklog/ulid/v2"
)

// jobID is the id in the path of a request.
func jobID(r *http.Request) (ulid.ULID, error) {
	id, err := ulid.ParseStrict(r.PathValue("id"))
	if err != nil {
		return id, explain(ErrMalformed, "the job id in the path is not one: an id has 26 letters and digits, such as 01JZ0S5N4QZ6B5V7M3T8W9X2YA")
	}
	return id, nil
}

// found reads the job that the path names, unless it is another owner's.
func (h *handler) found(r *http.Request) (entry, error) {
	id, err := jobID(r)
	if err != nil {
		return entry{}, err
	}
	e, err := h.f.entry(r.Context(), id)
	if err == nil && !CallerFrom(r.Context()).sees(e.Spec.Owner) {
		return entry{}, ErrNotFound
	}
	return e, err
}

// owned is the id in the path, if the caller may change the job. It reads the job
// only if that takes it: whose a job is never changes.
func (h *handler) owned(r *http.Request) (ulid.ULID, error) {
	if CallerFrom(r.Context()).Admin {
		return jobID(r)
	}
	e, err := h.found(r)
	return e.ID, err
}

func (h *handler) status(w http.ResponseWriter, r *http.Request) error {
	id, err := jobID(r)
	if err != nil {
		return err
	}
	j, err := h.f.Status(r.Context(), id)
	if err != nil {
		return err
	}
	if !CallerFrom(r.Context()).sees(j.Spec.Owner) {
		return ErrNotFound
	}
	if j, err = h.hold(w, r, j); err != nil {
		return err
	}
	out, err := h.whole(r.Context(), j, h.base(r))
	if err != nil {
		return err
	}
	return sendTagged(w, r, out)
}

// sendTagged answers with a job and a tag of its bytes, or, if the caller has these
// already, with the tag alone.
func sendTagged(w http.ResponseWriter, r *http.Request, j *jobJSON) error {
	body, err := marshal(j)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	tag := `"` + hex.EncodeToString(sum[:16]) + `"`
	w.Header().Set("ETag", tag)
	w.Header().Set("Cache-Control", "private, no-cache") // kept, and asked for each time
	if !j.State.Terminal() {
		w.Header().Set("Retry-After", "1")
	}
	if tagMatches(r.Header.Values("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	send(w, http.StatusOK, "application/json", body)
	return nil
}

// tagMatches compares as If-None-Match does: weakly (RFC 9110, section 13.1.2). The
// tag has no comma.
func tagMatches(lines []string, tag string) bool {
	for _, line := range lines {
		for one := range strings.SplitSeq(line, ",") {
			one = strings.TrimSpace(one)
			if one == "*" || strings.TrimPrefix(one, "W/") == tag {
				return true
			}
		}
	}
	return false
}

func (h *handler) cancel(w http.ResponseWriter, r *http.Request) error {
	id, err := h.owned(r)
	if err != nil {
		return err
	}
	j, err := h.f.Cancel(r.Context(), id)
	if err != nil {
		return err
	}
	if j.State.Terminal() {
		return h.answer(w, r, http.StatusOK, j)
	}
	return h.answer(w, r, http.StatusAccepted, j)
}

func (h *handler) retry(w http.ResponseWriter, r *http.Request) error {
	id, err := h.owned(r)
	if err != nil {
		return err
	}
	j, err := h.f.Retry(r.Context(), id)
	if err != nil {
		return err
	}
	return h.answer(w, r, http.StatusAccepted, j)
}

// answer tells what became of a job, where it is and, if it has not ended, when to
// look again.
func (h *handler) answer(w http.ResponseWriter, r *http.Request, status int, j *Job) error {
	base := h.base(r)
	out, err := h.whole(r.Context(), j, base)
	if err != nil {
		return err
	}
	if status == http.StatusAccepted || !out.State.Terminal() {
		w.Header().Set("Retry-After", "1")
	}
	w.Header().Set("Location", out.Links.Self)
	return sendJSON(w, status, out)
}

func (h *handler) remove(w http.ResponseWriter, r *http.Request) error {
	id, err := h.owned(r)
	if err != nil {
		return err
	}
	if err := h.f.Delete(r.Context(), id); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
