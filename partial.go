package foreman

import (
	"context"
	"errors"
	"io"
	"slices"
	"unicode/utf8"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/artifact"
)

// partialName is the artifact that keeps what attempts have generated that did not come
// to a good end. The head of a job refers to it from the first such attempt on, and until
// one ends well.
const partialName = "partial"

// setPartial makes p the partial output of a job; nil for none.
func (e *entry) setPartial(p *keptArtifact) {
	e.partial = p
	e.Artifacts = slices.DeleteFunc(slices.Clone(e.Artifacts), func(a Artifact) bool { return a.Name == partialName })
	if p != nil {
		e.Artifacts = append(e.Artifacts, Artifact{Info: p.Info, run: p.Run})
	}
}

func (p *keptArtifact) key(id ulid.ULID) artifact.Key {
	return artifact.Key{Job: id.String(), Run: p.Run, Name: p.Name}
}

// init makes the spool ready for an attempt.
func (s *spool) init(f *Foreman, e *entry) {
	s.to, _ = f.o.Artifacts.(artifact.Spooler)
	s.job, s.attempt = e.ID, e.Sequence
	s.limit = int(min(maxPartial, f.o.MaxArtifact))
}

// keepPartial keeps what the attempt has generated, if it did not end well and still
// counts.
func (a *attempt) keepPartial(ctx context.Context) {
	t := a.task
	err := t.spool.end()
	if err != nil {
		a.f.o.Logger.Warn("the output of an attempt could not be spooled to its end", "job", a.id, "error", err)
	}
	if a.err == nil || errors.Is(a.stopped, errLeaseLost) {
		return
	}
	t.mu.Lock()
	if own := t.find(partialName); own >= 0 {
		t.partial = &keptArtifact{t.artifacts[own], t.run}
	}
	t.mu.Unlock()
	if t.partial != nil || t.spool.empty() {
		return
	}
	r, err := t.spool.read()
	if err == nil {
		t.partial, err = a.f.putPartial(ctx, a.id, t.run, r)
	}
	if err != nil {
		a.f.o.Logger.Warn("the output of an attempt that did not end well cannot be kept", "job", a.id, "error", err)
	}
}

// partialRun is the run of the partial output that there is from before; 0 for none.
func (a *attempt) partialRun() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.entry.partial == nil {
		return 0
	}
	return a.entry.partial.Run
}

// putPartial makes an artifact of what was spooled; nil if that is nothing.
func (f *Foreman) putPartial(ctx context.Context, id ulid.ULID, run uint64, r io.ReadCloser) (*keptArtifact, error) {
	defer func() { _ = r.Close() }()
	text := &wholeText{r: io.LimitReader(r, f.o.MaxArtifact)}
	p := &keptArtifact{artifact.Info{Name: partialName}, run}
	info, err := f.o.Artifacts.Put(ctx, p.key(id), "", text, f.o.MaxArtifact)
	if err != nil {
		return nil, err
	}
	if info.Size == 0 {
		return nil, f.o.Artifacts.Remove(ctx, p.key(id))
	}
	if p.Info = info; !text.other {
		p.ContentType = "text/plain; charset=utf-8"
	}
	return p, nil
}

// salvage makes what a dead process has spooled the partial output of its job. The run
// is the version that the job is about to have, which no claim has.
func (f *Foreman) salvage(ctx context.Context, e *entry) {
	s, ok := f.o.Artifacts.(artifact.Spooler)
	if !ok {
		return
	}
	r, err := s.OpenSpool(e.ID.String(), e.Sequence)
	if errors.Is(err, artifact.ErrNotFound) {
		return // there was no output, or it is on the disk of another machine
	}
	var p *keptArtifact
	if err == nil {
		p, err = f.putPartial(ctx, e.ID, e.version+1, r)
	}
	if err != nil {
		f.o.Logger.Warn("the output of an interrupted attempt cannot be kept", "job", e.ID, "error", err)
	}
	if p != nil {
		e.setPartial(p)
	}
}

// salvaged removes what is of no use any more when an interrupted job has been looked
// after. What cannot be removed now is swept at the next start.
func (f *Foreman) salvaged(ctx context.Context, was, is *entry) {
	f.dropPartial(context.WithoutCancel(ctx), was.ID, was.partial, is.partial)
	if s, ok := f.o.Artifacts.(artifact.Spooler); ok {
		if err := s.RemoveSpool(was.ID.String(), was.Sequence); err != nil {
			f.o.Logger.Warn("the spool of an attempt cannot be removed now; the next start will", "job", was.ID, "error", err)
		}
	}
}

// dropPartial removes the data of a partial output that another one has replaced, or
// that is of no use since the whole is there.
func (f *Foreman) dropPartial(ctx context.Context, id ulid.ULID, was, is *keptArtifact) {
	if was == nil || is != nil && was.Run == is.Run {
		return
	}
	if err := f.o.Artifacts.Remove(ctx, was.key(id)); err != nil {
		f.o.Logger.Warn("a partial output cannot be removed now; the next start will", "job", id, "error", err)
	}
}

// sweepSpools removes spools of attempts that are over and were looked after.
func (f *Foreman) sweepSpools(ctx context.Context) (int, error) {
	s, ok := f.o.Artifacts.(artifact.Spooler)
	if !ok {
		return 0, nil
	}
	return s.SweepSpools(ctx, func(job string, attempt uint64) (bool, error) {
		id, err := ulid.ParseStrict(job)
		if err != nil {
			return false, nil //nolint:nilerr // what is not named for a job belongs to none
		}
		if a := f.runs.get(id); a != nil && a.task.spool.attempt == attempt {
			return true, nil // though it may have lost its lease
		}
		e, err := f.entry(ctx, id)
		if errors.Is(err, ErrNotFound) {
			return false, nil
		}
		// Of one that cannot be read it may be all that is left.
		return e.State == Working && e.Sequence == attempt || err != nil, nil
	})
}

// wholeText reads text without a character that is cut off at its end. What is no text
// it reads as it is.
type wholeText struct {
	r     io.Reader
	other bool // it is no text
	buf   [8 << 10]byte
	out   []byte // of buf, to be handed out
	held  []byte // of buf, after out: the beginning of a character, perhaps
	err   error  // once out has been handed out
}

// Read is that of [io.Reader].
func (t *wholeText) Read(p []byte) (int, error) {
	for len(t.out) == 0 {
		if t.err != nil {
			return 0, t.err
		}
		n := copy(t.buf[:], t.held)
		var more int
		more, t.err = t.r.Read(t.buf[n:])
		n += more
		hold := incomplete(t.buf[:n])
		if t.other = t.other || !utf8.Valid(t.buf[:n-hold]); t.other {
			hold = 0
		}
		t.out, t.held = t.buf[:n-hold], t.buf[n-hold:n]
	}
	n := copy(p, t.out)
	t.out = t.out[n:]
	return n, nil
}
