package artifact

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"path"
)

// Put is the Put of [Store]. Only if the directory cannot be synced at the very
// end may k hold either of the new bytes and the old, whole, after an error.
func (d *Dir) Put(ctx context.Context, k Key, contentType string, r io.Reader, limit int64) (Info, error) {
	if err := k.Check(); err != nil {
		return Info{}, err
	}
	contentType, err := CheckContentType(contentType)
	if err != nil {
		return Info{}, err
	}
	size, sum, err := d.write(ctx, k, r, limit)
	if err != nil {
		return Info{}, fmt.Errorf("artifact: put %v: %w", k, err)
	}
	return Info{Name: k.Name, ContentType: contentType, Size: size, SHA256: sum}, nil
}

// write makes the file under a temporary name, and moves it to its own.
func (d *Dir) write(ctx context.Context, k Key, r io.Reader, limit int64) (size int64, sum string, err error) {
	if err := ctx.Err(); err != nil {
		return 0, "", err
	}
	name := rand.Text()
	d.puts.begin(k.claim(), name)
	defer d.puts.end(k.claim(), name)

	dir := shardOf(k.Job)
	if err := d.makeShard(dir); err != nil {
		return 0, "", d.advise(err)
	}
	temp := path.Join(tempDir, name)
	f, err := d.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return 0, "", d.advise(err)
	}
	moved := false
	defer func() {
		if !moved { // which is so, too, when r panics
			_ = f.Close()
			_ = d.root.Remove(temp)
		}
	}()

	buffer := d.buffers.Get().(*[]byte)
	defer d.buffers.Put(buffer)
	size, sum, err = Copy(ctx, advised{f, d}, r, limit, *buffer)
	if err != nil {
		return 0, "", err
	}
	if err := d.fsync(f); err != nil {
		return 0, "", d.advise(err)
	}
	if err := f.Close(); err != nil {
		return 0, "", d.advise(err)
	}
	if err := d.root.Rename(temp, k.Path()); err != nil {
		return 0, "", d.advise(err)
	}
	moved = true
	if err := d.syncDir(dir); err != nil {
		return 0, "", d.advise(err)
	}
	return size, sum, nil
}

// advise adds to an error of the file system what can be done about it.
func (d *Dir) advise(err error) error {
	return fmt.Errorf("%w (nothing is acknowledged; see that %s is there, can be written to and has free space, then try again)",
		err, d.root.Name())
}

// advised is a file whose errors are passed through advise.
type advised struct {
	*os.File
	dir *Dir
}

func (a advised) Write(p []byte) (int, error) {
	n, err := a.File.Write(p)
	if err != nil {
		err = a.dir.advise(err)
	}
	return n, err
}
