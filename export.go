package foreman

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/maphash"
	"io"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/artifact"
	"github.com/foreman-go/foreman/store"
)

// Moved is what an export or an import has found.
type Moved struct {
	Jobs       int   `json:"jobs"`
	Events     int   `json:"events"`
	Deliveries int   `json:"deliveries"`
	Pending    int   `json:"pending"`   // of the deliveries, those that are still to be sent
	Artifacts  int   `json:"artifacts"` // whose data is there
	Missing    int   `json:"missing"`   // artifacts that a job has and whose data is not there
	Bytes      int64 `json:"bytes"`     // of artifacts
	// Existing is how many of the jobs the target of an import had already.
	Existing int `json:"-"`
	// ExistingArtifacts is how many of the artifacts were not added by an import: the target
	// had them already, or its job has gone on and has them no more.
	ExistingArtifacts int `json:"-"`
	// PausedAll and PausedLanes say what is paused in the export: an import pauses it, each
	// time.
	PausedAll   bool `json:"-"`
	PausedLanes int  `json:"-"`
	// Left is how many deliveries of deleted jobs are still to be sent. They are not
	// moved: let them be sent first.
	Left int `json:"-"`
}

// Export writes everything there is, so that [Foreman.Import] can make it again in front of
// another store: jobs with their ids, versions, attempts and results, events, deliveries,
// idempotency keys, artifacts, and what is paused. It is a tar archive that ends with
// counts and a checksum: without its end it is of no use to Import.
//
// Nothing may run meanwhile, in this process or any other that shares the store:
// [ErrRunning] says that Run is under way in one of them, or was within
// [Options].Lease in one that was killed, and [ErrState] that a job is being run. Nor may
// anything change: a Run that has begun meanwhile is ErrRunning, and a job that was begun,
// changed or deleted, a webhook that was sent, or a lane that was paused is ErrState. So is
// a job that was submitted, if it is not in it. Other errors: [errors.ErrUnsupported] for
// a store that is no [store.Mover], [ErrTooLarge] for a job that has more than 256 MiB of
// JSON without its artifacts, [ErrUnavailable], those of w and the context's.
//
// What an attempt has generated that a crash has cut short is not in it until Run was under
// way once more, which makes the artifact partial of it.
func (f *Foreman) Export(ctx context.Context, w io.Writer) (Moved, error) {
	from, done, err := f.moving()
	if err != nil {
		return Moved{}, fmt.Errorf("export: %w", err)
	}
	defer done()
	x := exporting{f: f, tar: tar.NewWriter(w), sum: sha256.New(), at: f.now(), saw: census{seed: maphash.MakeSeed()}}
	if err := x.run(ctx, from); err != nil {
		return Moved{}, fmt.Errorf("export: %w", err)
	}
	return x.end.Moved, nil
}

// moving makes sure that nothing runs here until done is called.
func (f *Foreman) moving() (m store.Mover, done func(), err error) {
	m, ok := f.o.Store.(store.Mover)
	if !ok {
		return nil, nil, fmt.Errorf("jobs of this store cannot be moved: %w", errors.ErrUnsupported)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.closed:
		return nil, nil, fmt.Errorf("%w: closed", ErrUnavailable)
	case f.stopRun != nil:
		return nil, nil, ErrRunning
	}
	ran := make(chan struct{})
	f.stopRun, f.ran = func() {}, ran
	return m, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.stopRun = nil
		close(ran)
	}, nil
}

// exporting is an export under way.
type exporting struct {
	f   *Foreman
	tar *tar.Writer
	sum hash.Hash
	at  time.Time
	saw census
	end exportSum
}

// run writes all there is between two looks at whether others run, and ends it if nothing
// has changed meanwhile.
func (x *exporting) run(ctx context.Context, from store.Mover) error {
	if err := x.f.peers.idle(ctx); err != nil {
		return err
	}
	if err := x.saw.rest(ctx, x.f.o.Store); err != nil {
		return fromStore(err)
	}
	if err := x.json(exportHead, mostStart, exportStart{exportFormat, x.at, x.saw.paused}); err != nil {
		return err
	}
	if err := x.jobs(ctx, from); err != nil {
		return err
	}
	if err := x.saw.unchanged(ctx, x.f.o.Store); err != nil {
		return err
	}
	if err := x.f.peers.idle(ctx); err != nil {
		return err
	}
	x.end.PausedAll, x.end.PausedLanes = x.saw.paused.All, len(x.saw.paused.Lanes)
	x.end.Left = x.saw.backlog - x.end.Pending
	x.end.SHA256 = hex.EncodeToString(x.sum.Sum(nil))
	if err := x.json(exportEnd, mostStart, &x.end); err != nil {
		return err
	}
	return x.tar.Close()
}

func (x *exporting) jobs(ctx context.Context, from store.Mover) error {
	for after := (ulid.ULID{}); ; {
		const batch = 500
		some, err := from.Export(ctx, after, batch)
		if err != nil {
			return fromStore(err)
		}
		if len(some) == 0 {
			return nil
		}
		for i := range some {
			if err := x.job(ctx, &some[i]); err != nil {
				return fmt.Errorf("job %s: %w", some[i].ID, err)
			}
		}
		after = some[len(some)-1].ID
	}
}

func (x *exporting) job(ctx context.Context, w *store.Whole) error {
	if w.State == store.Working && w.Deadline.After(x.at) {
		return fmt.Errorf("%w: it is being run: stop every process that uses the store, wait until leases have run out, and export again", ErrState)
	}
	if err := x.json(exportJobs+w.ID.String(), mostExported, w); err != nil {
		return err
	}
	x.saw.add(&w.Head)
	x.end.count(w)
	e, err := fromRecord(w.Record)
	if err != nil {
		return fromStore(err)
	}
	for i := range e.Artifacts {
		if a := &e.Artifacts[i]; !a.Removed {
			if err := x.artifact(ctx, artifactKey(&e.Job, a), a.Size); err != nil {
				return err
			}
		}
	}
	return nil
}

// count counts a job and what belongs to it.
func (m *Moved) count(w *store.Whole) {
	m.Jobs++
	m.Events += len(w.Events)
	m.Deliveries += len(w.Deliveries)
	for i := range w.Deliveries {
		if w.Deliveries[i].State == store.Pending {
			m.Pending++
		}
	}
}

func (x *exporting) artifact(ctx context.Context, k artifact.Key, size int64) error {
	r, err := x.f.o.Artifacts.Open(ctx, k)
	if errors.Is(err, artifact.ErrNotFound) {
		x.end.Missing++
		return nil
	}
	if err != nil {
		return err
	}
	defer r.Close()
	x.end.Artifacts++
	x.end.Bytes += size
	return x.entry(entryOf(k), size, r)
}

func (x *exporting) json(name string, most int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(b) > most {
		return fmt.Errorf("%w: %d bytes of JSON; an export has at most %d", ErrTooLarge, len(b), most)
	}
	return x.entry(name, int64(len(b)), bytes.NewReader(b))
}

// entry writes an entry of the archive, and adds it to the checksum.
func (x *exporting) entry(name string, size int64, r io.Reader) error {
	err := x.tar.WriteHeader(&tar.Header{Name: name, Size: size, Mode: 0o600, ModTime: x.at.Truncate(time.Second), Format: tar.FormatPAX})
	if err != nil {
		return err
	}
	_, _ = io.WriteString(x.sum, name+"\n")
	n, err := io.Copy(x.tar, io.TeeReader(r, x.sum))
	if err == nil && n != size {
		err = fmt.Errorf("%w: %s has %d bytes, not %d", store.ErrDamaged, name, n, size)
	}
	return err
}
