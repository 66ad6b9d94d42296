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
	"io"
	"path"
	"strconv"
	"strings"

	"github.com/foreman-go/foreman/artifact"
	"github.com/foreman-go/foreman/store"
)

// Import adds what [Foreman.Export] has written to the store and the artifacts of f. It
// reads r twice: first it makes sure that everything is there and is what was written,
// and then it adds it. A job that is there already is left as it is, so that an import that
// was cut off can be made again from its beginning.
//
// Nothing may run meanwhile. Errors: [ErrRunning]; [ErrMalformed] for what is no whole
// export; [ErrState] if the store has another version of one of the jobs, or another job
// has its idempotency key; [errors.ErrUnsupported] for a store that is no [store.Mover];
// [ErrFull], [ErrUnavailable], those of r and the context's. What was added before an
// error stays.
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
	size  int
	// artifacts of the job read last, by the names of their entries
	outputs map[string]artifact.Info
	known   bool // the store has that job
}

func (in *importing) run(ctx context.Context, r io.ReadSeeker) error {
	begin, end, err := verifyExport(ctx, r)
	if err != nil {
		return err
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return err
	}
	err = eachEntry(ctx, r, func(name string, data io.Reader) error {
		switch {
		case strings.HasPrefix(name, exportJobs):
			return in.job(ctx, data)
		case strings.HasPrefix(name, exportOutputs):
			return in.artifact(ctx, name, data)
		}
		return nil
	})
	if err == nil {
		err = in.flush(ctx)
	}
	if err != nil {
		return err
	}
	for _, p := range pausesOf(begin.Paused) {
		if err := in.f.o.Store.Pause(ctx, p); err != nil {
			return fromStore(err)
		}
	}
	in.have.Missing = end.Missing
	if in.have.Jobs != end.Jobs {
		return fmt.Errorf("%w: %d jobs of %d", ErrMalformed, in.have.Jobs, end.Jobs)
	}
	return nil
}

// pausesOf is what to pause for a store to have what p says.
func pausesOf(p store.Pause) (out []store.Pause) {
	if p.All {
		out = append(out, store.Pause{All: true})
	}
	if len(p.Lanes) > 0 {
		out = append(out, store.Pause{Lanes: p.Lanes})
	}
	return out
}

// eachEntry visits the entries of an archive.
func eachEntry(ctx context.Context, r io.Reader, visit func(name string, data io.Reader) error) error {
	for archive := tar.NewReader(r); ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: it is no export, or is cut short: %w", ErrMalformed, err)
		}
		if err := visit(h.Name, archive); err != nil {
			return err
		}
	}
}

// verifyExport makes sure that an export is whole, and returns what it says at its
// beginning and at its end.
func verifyExport(ctx context.Context, r io.Reader) (begin exportStart, end exportSum, err error) {
	var have Moved
	sum := sha256.New()
	ended := false
	err = eachEntry(ctx, r, func(name string, data io.Reader) error {
		if ended {
			return fmt.Errorf("%w: %s comes after the end", ErrMalformed, name)
		}
		if ended = name == exportEnd; ended {
			return readJSON(data, &end)
		}
		_, _ = io.WriteString(sum, name+"\n")
		tee := io.TeeReader(data, sum)
		switch {
		case name == exportHead:
			if err := readJSON(tee, &begin); err != nil {
				return err
			}
			if begin.Format != exportFormat {
				return fmt.Errorf("%w: the export has format %d, and this program reads %d", ErrMalformed, begin.Format, exportFormat)
			}
		case strings.HasPrefix(name, exportJobs):
			var w store.Whole
			if err := readJSON(tee, &w); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			have.count(&w)
		case strings.HasPrefix(name, exportOutputs):
			n, err := io.Copy(io.Discard, tee)
			if err != nil {
				return fmt.Errorf("%w: %s: %w", ErrMalformed, name, err)
			}
			have.Artifacts++
			have.Bytes += n
		}
		return nil
	})
	if err != nil {
		return begin, end, err
	}
	have.Missing = end.Missing
	switch {
	case begin.Format == 0 || !ended:
		return begin, end, fmt.Errorf("%w: it is no export, or is cut short: export again", ErrMalformed)
	case have != end.Moved, hex.EncodeToString(sum.Sum(nil)) != end.SHA256:
		return begin, end, fmt.Errorf("%w: the export is not what was written, by its counts or its checksum: export again", ErrMalformed)
	}
	return begin, end, nil
}

func readJSON(r io.Reader, v any) error {
	b, err := io.ReadAll(r)
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return nil
}

const (
	importBatch = 200
	importBytes = 16 << 20
)

// job takes a job to be added once its artifacts are there.
func (in *importing) job(ctx context.Context, data io.Reader) error {
	b, err := io.ReadAll(data)
	if err != nil {
		return err
	}
	if len(in.batch) >= importBatch || in.size+len(b) > importBytes {
		if err := in.flush(ctx); err != nil {
			return err
		}
	}
	var w store.Whole
	if err := readJSON(bytes.NewReader(b), &w); err != nil {
		return err
	}
	e, err := fromRecord(w.Record)
	if err != nil {
		return fmt.Errorf("job %s: %w", w.ID, fromStore(err))
	}
	in.outputs = map[string]artifact.Info{}
	for i := range e.Artifacts {
		k := artifactKey(&e.Job, &e.Artifacts[i])
		in.outputs[entryOf(k)] = e.Artifacts[i].Info
	}
	switch _, err := in.f.o.Store.Get(ctx, w.ID); {
	case errors.Is(err, store.ErrNotFound):
		in.known = false
	case err != nil:
		return fromStore(err)
	default:
		in.known = true
	}
	in.batch, in.size = append(in.batch, w), in.size+len(b)
	return nil
}

// entryOf is the name of the entry of an artifact.
func entryOf(k artifact.Key) string {
	return exportOutputs + path.Join(k.Job, strconv.FormatUint(k.Run, 10), k.Name)
}

// artifact adds an artifact of the job that was read last.
func (in *importing) artifact(ctx context.Context, name string, data io.Reader) error {
	info, ok := in.outputs[name]
	if !ok {
		return fmt.Errorf("%w: %s is of no job before it", ErrMalformed, name)
	}
	in.have.Artifacts++
	in.have.Bytes += info.Size
	if in.known {
		return nil // its job is there, and came after it
	}
	parts := strings.Split(strings.TrimPrefix(name, exportOutputs), "/")
	run, err := strconv.ParseUint(parts[1], 10, 64)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrMalformed, name, err)
	}
	got, err := in.f.o.Artifacts.Put(ctx, artifact.Key{Job: parts[0], Run: run, Name: parts[2]}, info.ContentType, data, 0)
	if err != nil {
		return fmt.Errorf("%s: %w", name, fromArtifact(err))
	}
	if got.SHA256 != info.SHA256 {
		return fmt.Errorf("%w: %s is not what its job says it is", ErrMalformed, name)
	}
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
		case errors.Is(r.Err, store.ErrExists), errors.Is(r.Err, store.ErrKeyReused):
			return fmt.Errorf("%w: job %s: %w: import into a store without jobs of other origin", ErrState, in.batch[i].ID, r.Err)
		case r.Err != nil:
			return fmt.Errorf("job %s: %w", in.batch[i].ID, fromStore(r.Err))
		}
		if r.Existing {
			in.have.Existing++
		}
		in.have.count(&in.batch[i])
	}
	in.batch, in.size = in.batch[:0], 0
	return nil
}
