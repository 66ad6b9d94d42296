package foreman

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/artifact"
	"github.com/foreman-go/foreman/store"
)

// Import adds what [Foreman.Export] has written to the store and the artifacts of f. It
// reads r twice: first it makes sure that everything is there and is what was written,
// and then it adds it: what is paused, and then each job after its artifacts. A job that is
// there already is left as it is, even if it has gone on since, and given those of its
// artifacts that are not there. So an import that was cut off, or that has put artifacts in
// the wrong place, can be made again from its beginning.
//
// What is paused in the export is paused at the target, also for what is there already,
// and once more if it was resumed since and the import is made again: [Moved] says it.
//
// Run must not be under way in this process. Other processes that share the store may run,
// and begin with what comes: no job is there before its artifacts, nor before what pauses it.
//
// Errors: [ErrRunning]; [ErrMalformed] for what is no whole export, of which nothing was
// added; [ErrState] if the store has an earlier version of one of the jobs, or another job
// has its idempotency key; [ErrInvalid] for what the store cannot keep;
// [errors.ErrUnsupported] for a store that is no [store.Mover]; [ErrFull],
// [ErrUnavailable], those of r and the context's. What was added before an error stays.
func (f *Foreman) Import(ctx context.Context, r io.ReadSeeker) (Moved, error) {
	to, done, err := f.moving()
	if err != nil {
		return Moved{}, fmt.Errorf("import: %w", err)
	}
	defer done()
	in := importing{f: f, to: to}
	if err := in.run(ctx, r); err != nil {
		return in.have, fmt.Errorf("import: %w", err)
	}
	return in.have, nil
}

// importing is an import under way.
type importing struct {
	f     *Foreman
	to    store.Mover
	have  Moved
	batch []store.Whole
	size  int64 // of the batch, and of artifacts that were put for it
	bytes int64
	known bool              // the store has the job that was read last
	has   map[string]output // the artifacts that it has there, by the names of their entries
}

// A batch ends with so many jobs, so much of them, or so much of their artifacts: these
// must not wait long for their jobs where another process may sweep.
const (
	importBatch   = 200
	importBytes   = 16 << 20
	importOutputs = 1 << 30
)

func (in *importing) run(ctx context.Context, r io.ReadSeeker) error {
	check := reading{output: verify}
	if err := check.run(ctx, r); err != nil {
		return err
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return err
	}
	add := reading{
		begin:  func(s *exportStart) error { return in.pause(ctx, s.Paused) },
		job:    func(w *store.Whole, size int64) error { return in.job(ctx, w, size) },
		output: func(o output, data io.Reader) error { return in.output(ctx, o, data) },
	}
	if err := add.run(ctx, r); err != nil {
		return err
	}
	in.have.Missing = add.have.Missing
	return in.flush(ctx)
}

// verify makes sure that an artifact is what its job says.
func verify(o output, data io.Reader) error {
	sum := sha256.New()
	if _, err := io.Copy(sum, data); err != nil {
		return unreadable(err)
	}
	if hex.EncodeToString(sum.Sum(nil)) != o.info.SHA256 {
		return malformed("artifact %s is not what its job says it is", o.key)
	}
	return nil
}

// pause pauses what is paused in the export. The rest stays as it is.
func (in *importing) pause(ctx context.Context, p store.Pause) error {
	for _, p := range []store.Pause{{All: p.All}, {Lanes: p.Lanes}} {
		if !p.All && len(p.Lanes) == 0 {
			continue
		}
		if err := in.f.o.Store.Pause(ctx, p); err != nil {
			return fromStore(err)
		}
		in.have.PausedAll = in.have.PausedAll || p.All
		in.have.PausedLanes += len(p.Lanes)
	}
	return nil
}

// job takes a job to be added once its artifacts are there.
func (in *importing) job(ctx context.Context, w *store.Whole, size int64) error {
	if len(in.batch) >= importBatch || in.size+size > importBytes || in.bytes > importOutputs {
		if err := in.flush(ctx); err != nil {
			return err
		}
	}
	if err := in.look(ctx, w.ID); err != nil {
		return fromStore(err)
	}
	in.batch, in.size = append(in.batch, *w), in.size+size
	return nil
}

// look finds out what the store has of a job.
func (in *importing) look(ctx context.Context, id ulid.ULID) error {
	r, err := in.f.o.Store.Get(ctx, id)
	in.known = !errors.Is(err, store.ErrNotFound)
	switch {
	case !in.known:
		return nil
	case err != nil:
		return err
	}
	e, err := fromRecord(r)
	in.has = e.outputs()
	return err
}

// lacks reports whether an artifact of the job that was read last is to be added.
func (in *importing) lacks(ctx context.Context, o output) (bool, error) {
	if !in.known {
		return true, nil
	}
	if in.has[entryOf(o.key)] != o {
		return false, nil // the job has gone on
	}
	r, err := in.f.o.Artifacts.Open(ctx, o.key)
	switch {
	case errors.Is(err, artifact.ErrNotFound):
		return true, nil
	case err != nil:
		return false, err
	}
	return false, r.Close()
}

// output adds an artifact of the job that was read last, if it is not there.
func (in *importing) output(ctx context.Context, o output, data io.Reader) error {
	in.have.Artifacts++
	in.have.Bytes += o.info.Size
	switch lacks, err := in.lacks(ctx, o); {
	case err != nil:
		return fmt.Errorf("artifact %s: %w", o.key, fromArtifact(err))
	case !lacks:
		in.have.ExistingArtifacts++
		return nil
	}
	got, err := in.f.o.Artifacts.Put(ctx, o.key, o.info.ContentType, data, 0)
	switch {
	case err != nil:
		return fmt.Errorf("artifact %s: %w", o.key, fromArtifact(err))
	case got.SHA256 != o.info.SHA256:
		return malformed("artifact %s is not what its job says it is", o.key)
	}
	in.bytes += o.info.Size
	return nil
}

// flush adds the jobs that were read. Their artifacts are there: a job never refers to
// what is not.
func (in *importing) flush(ctx context.Context) error {
	if len(in.batch) == 0 {
		return nil
	}
	results, err := in.to.Import(ctx, in.batch)
	if err != nil {
		return fromStore(err)
	}
	for i, r := range results {
		switch {
		case errors.Is(r.Err, store.ErrExists):
			return fmt.Errorf("%w: job %s: the store has had an earlier version of it: import into one that has none of these jobs: %w", ErrState, in.batch[i].ID, r.Err)
		case errors.Is(r.Err, store.ErrKeyReused):
			return fmt.Errorf("%w: job %s: another job there has its idempotency key: %w", ErrState, in.batch[i].ID, r.Err)
		case r.Err != nil:
			return fmt.Errorf("job %s: %w", in.batch[i].ID, fromStore(r.Err))
		}
		if r.Existing {
			in.have.Existing++
		}
		in.have.count(&in.batch[i])
	}
	clear(in.batch)
	in.batch, in.size, in.bytes = in.batch[:0], 0, 0
	return nil
}
