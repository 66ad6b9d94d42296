package foreman

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

func (h *handler) artifacts(w http.ResponseWriter, r *http.Request) error {
	e, err := h.found(r)
	if err != nil {
		return err
	}
	out, err := h.whole(r.Context(), &e.Job, h.base(r))
	if err != nil {
		return err
	}
	list := out.Artifacts
	if list == nil {
		list = []byte("[]")
	}
	return sendJSON(w, http.StatusOK, map[string]any{"artifacts": list})
}

// artifact gives the bytes of an artifact as they are. They may be anything, so that
// no browser is to run them in the name of this site, or guess what they are.
func (h *handler) artifact(w http.ResponseWriter, r *http.Request) error {
	e, err := h.found(r)
	if err != nil {
		return err
	}
	data, a, err := h.f.openArtifact(r.Context(), &e, r.PathValue("name"))
	if errors.Is(err, ErrNotFound) {
		return explain(ErrNotFound, "job %s has no artifact of this name: GET /jobs/%[1]s/artifacts lists those it has", e.ID)
	}
	if err != nil {
		return err
	}
	defer func() { _ = data.Close() }()
	header := w.Header()
	header.Set("Content-Type", a.ContentType)
	header.Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", a.Name))
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	header.Set("ETag", `"`+a.SHA256+`"`)
	header.Set("Cache-Control", "private, no-cache") // a retry can put others in its place
	if e.State == Done {
		header.Set("Cache-Control", "private, max-age=86400, immutable")
	}
	ranged := &rangeWriter{ResponseWriter: w}
	http.ServeContent(ranged, r, "", time.Time{}, data)
	if ranged.refused {
		header.Del("Content-Disposition")
		return explain(errRange, "the range is not within the %d bytes that there are", a.Size)
	}
	return nil
}

// rangeWriter keeps back the answer of [http.ServeContent] to a range that cannot be,
// which is no problem document.
type rangeWriter struct {
	http.ResponseWriter
	refused bool
}

func (w *rangeWriter) WriteHeader(status int) {
	if w.refused = status == http.StatusRequestedRangeNotSatisfiable; !w.refused {
		w.ResponseWriter.WriteHeader(status)
	}
}

func (w *rangeWriter) Write(p []byte) (int, error) {
	if w.refused {
		return len(p), nil
	}
	return w.ResponseWriter.Write(p)
}

// ReadFrom leaves the copying of files to the system.
func (w *rangeWriter) ReadFrom(r io.Reader) (int64, error) { return io.Copy(w.ResponseWriter, r) }
