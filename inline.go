package foreman

import (
	"context"
	"errors"
	"io"

	"github.com/foreman-go/foreman/artifact"
	"github.com/foreman-go/foreman/webhook"
)

// maxInlined bounds the data of artifacts in one JSON document, in bytes as they are
// written there. Those that do not fit are given by URL, as large ones are.
const maxInlined = 4 << 20

// inline gives artifacts the form they have in JSON, with the data of small ones.
func (f *Foreman) inline(ctx context.Context, j *Job, base string) ([]webhook.ArtifactMeta, error) {
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
				return nil, err
			}
			if size := webhook.InlineSize(data); size <= room {
				m.Data = data
				room -= size
			}
		}
		metas = append(metas, m)
	}
	return metas, nil
}

func (f *Foreman) readArtifact(ctx context.Context, j *Job, a *Artifact) ([]byte, error) {
	r, err := f.o.Artifacts.Open(ctx, artifactKey(j, a))
	if err != nil {
		return nil, err
	}
	data := make([]byte, a.Size)
	_, err = io.ReadFull(r, data)
	return data, errors.Join(err, r.Close())
}

func artifactKey(j *Job, a *Artifact) artifact.Key {
	return artifact.Key{Job: j.ID.String(), Run: a.run, Name: a.Name}
}
