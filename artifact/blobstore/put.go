package blobstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"gocloud.dev/blob"

	"github.com/foreman-go/foreman/artifact"
)

// attrsSuffix ends the names of files that fileblob keeps beside its objects.
const (
	attrsSuffix = ".attrs"
	attrsEscape = "~0"
)

// objectKey returns the key of the artifact's object.
func objectKey(k artifact.Key) string {
	key := k.Path()
	if strings.HasSuffix(key, attrsSuffix) {
		key += attrsEscape
	}
	return key
}

// parseObject returns the key of the artifact that an object keeps, or that an
// unfinished file of fileblob would have kept. It reports false for an object that
// no store has made.
func parseObject(object string) (artifact.Key, bool) {
	key := object
	if rest, ok := strings.CutSuffix(key, attrsEscape); ok && strings.HasSuffix(rest, attrsSuffix) {
		key = rest
	}
	if k, ok := artifact.ParsePath(key); ok && objectKey(k) == object {
		return k, true
	}
	if finished, ok := finishedName(object); ok {
		return parseObject(finished)
	}
	return artifact.Key{}, false
}

// finishedName returns the name that fileblob would have given to a file in the
// end, which it begins as <name>.<hexadecimal digits>.tmp.
func finishedName(object string) (string, bool) {
	rest, ok := strings.CutSuffix(object, ".tmp")
	dot := strings.LastIndexByte(rest, '.')
	if !ok || dot < 0 || dot == len(rest)-1 || strings.Trim(rest[dot+1:], "0123456789abcdef") != "" {
		return "", false
	}
	return rest[:dot], true
}

// Put is the Put of [artifact.Store]. An artifact of up to 256 KiB is sent with one
// request; a larger one in parts as it is read, which become an object when the
// last one is there. The object has the content type too.
func (s *Store) Put(ctx context.Context, k artifact.Key, contentType string, r io.Reader, limit int64) (artifact.Info, error) {
	if err := k.Check(); err != nil {
		return artifact.Info{}, err
	}
	contentType, err := artifact.CheckContentType(contentType)
	if err != nil {
		return artifact.Info{}, err
	}
	size, sum, err := s.write(ctx, k, contentType, r, limit)
	if err != nil {
		return artifact.Info{}, fmt.Errorf("blobstore: put %v: %w", k, err)
	}
	return artifact.Info{Name: k.Name, ContentType: contentType, Size: size, SHA256: sum}, nil
}

func (s *Store) write(ctx context.Context, k artifact.Key, contentType string, r io.Reader, limit int64) (size int64, sum string, err error) {
	if err := s.usable(ctx); err != nil {
		return 0, "", err
	}
	if err := s.puts.begin(ctx, claimOf(k)); err != nil {
		return 0, "", err
	}
	defer s.puts.end(claimOf(k))
	buffer := s.buffers.Get().(*[]byte)
	defer s.buffers.Put(buffer)
	u := s.newUpload(ctx, objectKey(k), contentType)
	defer u.abort() // also when r panics
	if size, sum, err = artifact.Copy(ctx, u, r, limit, *buffer); err != nil {
		return 0, "", err
	}
	return size, sum, u.finish()
}

// note puts a small object that is the store's own, durably, or, if it has to be new,
// fails if there is one. It returns the directory that has it, if the bucket is one.
func (s *Store) note(ctx context.Context, key, text string, isNew bool) (dir string, err error) {
	u := s.newUpload(ctx, key, "text/plain")
	u.options.IfNotExist = isNew
	defer u.abort()
	if _, err := u.Write([]byte(text)); err != nil {
		return "", err
	}
	if err := u.finish(); err != nil {
		return "", err
	}
	if s.files {
		dir = filepath.Dir(u.file.Name())
	}
	return dir, nil
}

// upload is an object that is being written. It begins to be sent when there is
// more of it than smallSize; a file is begun at once.
type upload struct {
	s       *Store
	caller  context.Context
	ctx     context.Context // the upload's own: ending it is what aborts it
	cancel  context.CancelFunc
	key     string
	options blob.WriterOptions
	small   *[]byte
	w       *blob.Writer
	file    *os.File // if the bucket is a directory
}

func (s *Store) newUpload(ctx context.Context, key, contentType string) *upload {
	u := &upload{s: s, caller: ctx, key: key, small: s.smalls.Get().(*[]byte)}
	u.ctx, u.cancel = context.WithCancel(ctx)
	u.options = blob.WriterOptions{
		ContentType: contentType, BufferSize: s.partSize, MaxConcurrency: uploads,
		BeforeWrite: func(as func(any) bool) error {
			as(&u.file)
			return nil
		},
	}
	return u
}

// Write takes a piece of the object.
func (u *upload) Write(p []byte) (int, error) {
	if u.w == nil {
		if !u.s.files && len(*u.small)+len(p) <= smallSize {
			*u.small = append(*u.small, p...)
			return len(p), nil
		}
		if err := u.open(); err != nil {
			return 0, err
		}
		if _, err := u.w.Write(*u.small); err != nil {
			return 0, u.s.unavailable(u.caller, err)
		}
	}
	n, err := u.w.Write(p)
	if err != nil {
		err = u.s.unavailable(u.caller, err)
	}
	return n, err
}

func (u *upload) open() (err error) {
	if err := u.s.mounted(u.caller); err != nil {
		return err
	}
	if u.w, err = u.s.bucket.NewWriter(u.ctx, u.key, &u.options); err != nil {
		return u.s.unavailable(u.caller, err)
	}
	return nil
}

// finish makes it an object.
func (u *upload) finish() error {
	if u.w == nil && u.s.files {
		if err := u.open(); err != nil {
			return err
		}
	}
	if u.w == nil {
		if err := u.s.bucket.Upload(u.ctx, u.key, bytes.NewReader(*u.small), &u.options); err != nil {
			u.small = nil // a connection that is being closed may still read it
			return u.s.unavailable(u.caller, err)
		}
		return nil
	}
	if u.s.files {
		if u.file == nil { // of some other driver for files than fileblob
			return u.s.unavailable(u.caller, errors.New("the bucket does not give files that can be made durable"))
		}
		if err := u.file.Sync(); err != nil {
			return u.s.unavailable(u.caller, err)
		}
	}
	w := u.w
	u.w = nil
	if err := w.Close(); err != nil {
		return u.s.unavailable(u.caller, err)
	}
	if u.s.files {
		if err := u.s.syncShard(filepath.Dir(u.file.Name())); err != nil {
			return u.s.unavailable(u.caller, err)
		}
	}
	return nil
}

// abort makes nothing of it, unless it is an object already. The object store must
// see that the context has ended before the writer is closed, or it would take
// what it has for all there is.
func (u *upload) abort() {
	u.cancel()
	if u.w != nil {
		_ = u.w.Close()
		u.w = nil
	}
	if u.small != nil {
		*u.small = (*u.small)[:0]
		u.s.smalls.Put(u.small)
	}
}

// syncShard makes durable which files are in a directory, and the directory itself.
func (s *Store) syncShard(dir string) error {
	if _, ok := s.shards.Load(dir); !ok {
		if err := syncDir(filepath.Dir(dir)); err != nil {
			return err
		}
		s.shards.Store(dir, true)
	}
	return syncDir(dir)
}
