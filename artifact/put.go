package artifact

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path"
)

// maxEmptyReads is how many times in a row a reader may return nothing.
const maxEmptyReads = 100

// Put is the Put of [Store]. Only if the directory cannot be synced at the very
// end may k hold either of the new bytes and the old, whole, after an error.
func (d *Dir) Put(ctx context.Context, k Key, contentType string, r io.Reader, limit int64) (Info, error) {
	if err := k.check(); err != nil {
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

	size, sum, err = d.copy(ctx, f, r, limit)
	if err != nil {
		return 0, "", err
	}
	if err := d.fsync(f); err != nil {
		return 0, "", d.advise(err)
	}
	if err := f.Close(); err != nil {
		return 0, "", d.advise(err)
	}
	if err := d.root.Rename(temp, k.file()); err != nil {
		return 0, "", d.advise(err)
	}
	moved = true
	if err := d.syncDir(dir); err != nil {
		return 0, "", d.advise(err)
	}
	return size, sum, nil
}

// copy writes what r holds to f, and returns its size and hash.
func (d *Dir) copy(ctx context.Context, f *os.File, r io.Reader, limit int64) (size int64, sum string, err error) {
	buffer := d.buffers.Get().(*[]byte)
	defer d.buffers.Put(buffer)
	hash := sha256.New()
	for empty := 0; empty < maxEmptyReads; {
		if err := ctx.Err(); err != nil {
			return 0, "", err
		}
		n, err := r.Read(*buffer)
		if n > 0 {
			empty = 0
			size += int64(n)
			if limit > 0 && size > limit {
				return 0, "", fmt.Errorf("%w: more than the %d bytes allowed", ErrTooLarge, limit)
			}
			chunk := (*buffer)[:n]
			hash.Write(chunk)
			if _, err := f.Write(chunk); err != nil {
				return 0, "", d.advise(err)
			}
		} else {
			empty++
		}
		if err == io.EOF { // an error around io.EOF is a fault, not the end
			// A reader may well end when ctx does; then this is not all.
			return size, hex.EncodeToString(hash.Sum(nil)), ctx.Err()
		}
		if err != nil {
			return 0, "", fmt.Errorf("read: %w", err)
		}
	}
	return 0, "", fmt.Errorf("read: %w", io.ErrNoProgress)
}

// advise adds to an error of the file system what can be done about it.
func (d *Dir) advise(err error) error {
	return fmt.Errorf("%w (nothing is acknowledged; see that %s is there, can be written to and has free space, then try again)",
		err, d.root.Name())
}
