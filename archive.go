package foreman

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/artifact"
	"github.com/foreman-go/foreman/store"
)

// The entries of an export, which is a tar archive: the start, each job followed by its
// artifacts, in the order of their ids, and the end.
const (
	exportFormat  = 1
	exportHead    = "foreman.json"
	exportJobs    = "jobs/"
	exportOutputs = "artifacts/"
	exportEnd     = "end.json"
)

// What the JSON of an entry may hold, since it is read into memory.
const (
	mostExported = 256 << 20 // a job
	mostStart    = 16 << 20  // the start and the end
)

// exportStart is the first entry.
type exportStart struct {
	Format int         `json:"format"`
	At     time.Time   `json:"at"`
	Paused store.Pause `json:"paused"`
}

// exportSum is the last entry.
type exportSum struct {
	Moved
	SHA256 string `json:"sha256"` // of the names and the data of all entries before it
}

// entryOf is the name of the entry of an artifact.
func entryOf(k artifact.Key) string {
	return exportOutputs + path.Join(k.Job, strconv.FormatUint(k.Run, 10), k.Name)
}

// output is an artifact whose data a job has.
type output struct {
	key  artifact.Key
	info artifact.Info
}

// outputs are those of a job, by the names of their entries.
func (e *entry) outputs() map[string]output {
	all := map[string]output{}
	for i := range e.Artifacts {
		if a := &e.Artifacts[i]; !a.Removed {
			k := artifactKey(&e.Job, a)
			all[entryOf(k)] = output{k, a.Info}
		}
	}
	return all
}

// reading reads an export, and makes sure that it is one: that its entries are those that
// Export writes, in their order, that each job can be read and is followed by nothing but
// artifacts that it has, and that counts and checksum are those at the end. What is not so
// is ErrMalformed.
type reading struct {
	// What is done with what was read; nil for nothing. An artifact that was not read to its
	// end is passed over.
	begin  func(*exportStart) error
	job    func(w *store.Whole, size int64) error
	output func(o output, data io.Reader) error

	start   exportStart
	end     exportSum
	have    Moved
	last    ulid.ULID         // the job before
	outputs map[string]output // of that job that have not come yet, by their names
	ended   bool
}

func (x *reading) run(ctx context.Context, r io.Reader) error {
	sum := sha256.New()
	for archive := tar.NewReader(r); ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := archive.Next()
		switch {
		case errors.Is(err, io.EOF):
			return x.whole(hex.EncodeToString(sum.Sum(nil)))
		case err != nil:
			return unreadable(err)
		case h.Typeflag != tar.TypeReg, isSparse(h):
			return malformed("%q is no file", h.Name)
		case x.ended:
			return malformed("%q comes after the end", h.Name)
		}
		var data io.Reader = archive
		if h.Name != exportEnd {
			_, _ = io.WriteString(sum, h.Name+"\n")
			data = io.TeeReader(archive, sum)
		}
		if err := x.entry(h, data); err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, data); err != nil {
			return unreadable(err)
		}
	}
}

// isSparse reports whether an entry stands for more bytes than the archive has.
func isSparse(h *tar.Header) bool {
	for name := range h.PAXRecords {
		if strings.HasPrefix(name, "GNU.sparse.") {
			return true
		}
	}
	return false
}

// unreadable is what is said of an archive when reading it fails.
func unreadable(err error) error {
	return fmt.Errorf("%w: it is no export, or is cut short: export again: %w", ErrMalformed, err)
}

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...)
}

func (x *reading) entry(h *tar.Header, data io.Reader) error {
	switch {
	case h.Name == exportHead && x.start.Format == 0:
		return x.first(h, data)
	case x.start.Format == 0:
		return malformed("it is no export: it begins with %q", h.Name)
	case strings.HasPrefix(h.Name, exportJobs):
		return x.nextJob(h, data)
	case strings.HasPrefix(h.Name, exportOutputs):
		return x.nextOutput(h, data)
	case h.Name == exportEnd:
		x.ended = true
		return x.json(h, data, mostStart, &x.end)
	}
	return malformed("%q is of no export", h.Name)
}

func (x *reading) first(h *tar.Header, data io.Reader) error {
	if err := x.json(h, data, mostStart, &x.start); err != nil {
		return err
	}
	if x.start.Format != exportFormat {
		return malformed("the export has format %d, and this program reads %d", x.start.Format, exportFormat)
	}
	if x.begin == nil {
		return nil
	}
	return x.begin(&x.start)
}

func (x *reading) nextJob(h *tar.Header, data io.Reader) error {
	var w store.Whole
	if err := x.json(h, data, mostExported, &w); err != nil {
		return err
	}
	if h.Name != exportJobs+w.ID.String() || w.ID.Compare(x.last) <= 0 {
		return malformed("%q has another job, or is not in order", h.Name)
	}
	e, err := fromWhole(&w)
	if err != nil {
		return fmt.Errorf("%w: %q: %w", ErrMalformed, h.Name, err)
	}
	x.miss()
	for i := range e.Artifacts {
		if err := artifactKey(&e.Job, &e.Artifacts[i]).Check(); err != nil {
			return fmt.Errorf("%w: %q: %w", ErrMalformed, h.Name, err)
		}
	}
	x.last, x.outputs = w.ID, e.outputs()
	x.have.count(&w)
	if x.job == nil {
		return nil
	}
	return x.job(&w, h.Size)
}

// miss counts those artifacts of the job before that have not come.
func (x *reading) miss() { x.have.Missing += len(x.outputs) }

func (x *reading) nextOutput(h *tar.Header, data io.Reader) error {
	o, ok := x.outputs[h.Name]
	if !ok || o.info.Size != h.Size {
		return malformed("%q is of no job before it, or has another size", h.Name)
	}
	delete(x.outputs, h.Name)
	x.have.Artifacts++
	x.have.Bytes += h.Size
	if x.output == nil {
		return nil
	}
	return x.output(o, data)
}

// json reads an entry that is JSON.
func (x *reading) json(h *tar.Header, data io.Reader, most int64, v any) error {
	if h.Size > most {
		return malformed("%q has %d bytes, and at most %d are read", h.Name, h.Size, most)
	}
	b, err := io.ReadAll(data)
	if err != nil {
		return unreadable(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%w: %q: %w", ErrMalformed, h.Name, err)
	}
	return nil
}

// whole makes sure that everything has come.
func (x *reading) whole(sum string) error {
	x.miss()
	switch {
	case !x.ended:
		return malformed("it is no export, or is cut short: export again")
	case x.have != x.end.Moved, sum != x.end.SHA256:
		return malformed("it is not what was written, by its counts or its checksum: export again")
	}
	return nil
}

// What the numbers of a record may be at most: stores keep them as signed ones.
const (
	mostVersion = 1<<53 - 1
	mostAttempt = 1<<31 - 1
)

// fromWhole reads what an export says of a job, which must be what a store could have had.
func fromWhole(w *store.Whole) (entry, error) {
	e, err := fromRecord(w.Record)
	switch {
	case err != nil:
		return e, err
	case w.ID.IsZero(), !State(w.State).valid(), w.Version == 0, w.Version > mostVersion, w.Attempt < 0, w.Attempt > mostAttempt:
		return e, errors.New("the job has an id, a state or a number that none has")
	case len(w.Owner) > maxOwner, len(w.IdempotencyKey) > maxKey, len(w.Kind) > maxModel, len(w.Lane) > maxLane:
		return e, errors.New("the job has a name that is too long")
	}
	if err := store.Check(&w.Head, 0, w.Events, w.Deliveries); err != nil {
		return e, err
	}
	for i := range w.Events {
		if w.Events[i].ID != w.ID {
			return e, errors.New("the job has events that are not its own")
		}
	}
	for i := range w.Deliveries {
		d := &w.Deliveries[i]
		if d.ID != w.ID || d.Attempt < 0 || d.Attempt > mostAttempt || !isDelivery(d.State) {
			return e, errors.New("the job has webhooks that are not its own, or that none has")
		}
	}
	return e, nil
}

func isDelivery(s store.DeliveryState) bool {
	switch s {
	case store.Pending, store.Delivered, store.Failed, store.Superseded, store.Stopped:
		return true
	}
	return false
}
