package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	_ "gocloud.dev/blob/azureblob" // azblob://
	_ "gocloud.dev/blob/fileblob"  // file://
	_ "gocloud.dev/blob/gcsblob"   // gs://
	_ "gocloud.dev/blob/s3blob"    // s3://

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/artifact"
	"github.com/foreman-go/foreman/artifact/blobstore"
	"github.com/foreman-go/foreman/store"
	"github.com/foreman-go/foreman/store/postgres"
)

// places are where jobs and artifacts are kept. One that is nil is in the data
// directory.
type places struct {
	jobs      store.Store
	artifacts *blobstore.Store
}

// A server of either that cannot be reached when foremand starts is waited for: they are
// often started together.
const (
	startPatience = time.Minute
	startPause    = time.Second
)

// open opens what is not in the data directory.
func (c *config) open(ctx context.Context, log *slog.Logger) (p places, err error) {
	if c.store != "" {
		p.jobs, err = patiently(ctx, log, "the database of -store", store.ErrUnavailable, func(ctx context.Context) (store.Store, error) {
			return postgres.Open(ctx, c.store, &postgres.Options{Schema: c.storeSchema, MaxConns: c.storeConns, PollOnly: c.storePoll, Logger: log})
		})
		if err != nil {
			err = fmt.Errorf("-store: %w", err)
			if errors.Is(err, store.ErrInvalid) {
				err = &settingError{err}
			}
			return p, err
		}
	}
	if c.artifacts != "" {
		p.artifacts, err = patiently(ctx, log, "the bucket of -artifacts", artifact.ErrUnavailable, func(ctx context.Context) (*blobstore.Store, error) {
			return blobstore.Open(ctx, c.artifacts, nil)
		})
		if err != nil {
			err = fmt.Errorf("-artifacts: %w", err)
			if !errors.Is(err, artifact.ErrUnavailable) { // then it is about the URL
				err = &settingError{err}
			}
			return p, errors.Join(err, p.close())
		}
	}
	if c.store != "" && c.artifacts == "" {
		log.Warn("artifacts are in the data directory, where other processes that share the store do not find them; with more than one, give -artifacts", "data", c.data)
	}
	return p, nil
}

// patiently opens something, and tries again for a while if it is not there yet.
func patiently[T any](ctx context.Context, log *slog.Logger, what string, away error, open func(context.Context) (T, error)) (T, error) {
	for begun := time.Now(); ; {
		opening, cancel := context.WithTimeout(ctx, startPatience/2)
		got, err := open(opening)
		cancel()
		if err == nil || !errors.Is(err, away) || time.Since(begun) > startPatience || ctx.Err() != nil {
			return got, err
		}
		log.Warn("what is needed to start cannot be reached; trying again", "what", what, "error", err)
		select {
		case <-time.After(startPause):
		case <-ctx.Done():
		}
	}
}

// in puts them into options.
func (p places) in(o *foreman.Options) {
	o.Store = p.jobs
	if p.artifacts != nil {
		o.Artifacts = p.artifacts
	}
}

func (p places) close() (err error) {
	if p.artifacts != nil {
		err = p.artifacts.Close()
	}
	if p.jobs != nil {
		err = errors.Join(err, p.jobs.Close())
	}
	return err
}
