package foreman

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/foreman-go/foreman/artifact"
	"github.com/foreman-go/foreman/webhook"
)

// maxInlined bounds the data of artifacts in one JSON document, in bytes as they are
// written there. Those that do not fit are given by URL, as large ones are.
const maxInlined = 4 << 20

// inline gives artifacts the form they have in JSON, with the data of small ones. unread
// says what becomes of one that cannot be read: of all, if it returns an error.
func (f *Foreman) inline(ctx context.Context, j *Job, base string, unread func(*webhook.ArtifactMeta, error) error) ([]webhook.ArtifactMeta, error) {
	metas := make([]webhook.ArtifactMeta, 0, len(j.Artifacts))
	room := int64(maxInlined)
	for i := range j.Artifacts {
		a := &j.Artifacts[i]
		m := webhook.ArtifactMeta{
			Name: a.Name, ContentType: a.ContentType, Size: a.Size, SHA256: a.SHA256,
			URL: artifactURL(base, j.ID, a.Name), Removed: a.Removed,
		}
		if a.Inline() && !a.Removed && a.Size <= room {
			data, err := f.readArtifact(ctx, j, a)
			if err != nil {
				if err = unread(&m, err); err != nil {
					return nil, err
				}
			} else if size := webhook.InlineSize(data); size <= room {
				m.Data = data
				room -= size
			}
		}
		metas = append(metas, m)
	}
	return metas, nil
}

// readPatience bounds the reading of one artifact that is inlined.
const readPatience = 5 * time.Second

// readArtifact reads an artifact that is small enough to be inlined. It returns
// [ErrUnavailable] for a store that does not answer, too.
func (f *Foreman) readArtifact(ctx context.Context, j *Job, a *Artifact) ([]byte, error) {
	reading, stop := context.WithTimeout(ctx, readPatience)
	defer stop()
	data := make([]byte, a.Size)
	r, err := f.o.Artifacts.Open(reading, artifactKey(j, a))
	if err == nil {
		_, err = io.ReadFull(r, data)
		err = errors.Join(err, r.Close())
	}
	if err != nil && reading.Err() != nil && ctx.Err() == nil {
		return nil, fmt.Errorf("%w: the artifact store has not answered within %s: %w", ErrUnavailable, readPatience, err)
	}
	return data, fromArtifact(err)
}

func artifactKey(j *Job, a *Artifact) artifact.Key {
	return artifact.Key{Job: j.ID.String(), Run: a.run, Name: a.Name}
}
