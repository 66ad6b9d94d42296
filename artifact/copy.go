package artifact

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
)

// maxEmptyReads is how many times in a row a reader may return nothing.
const maxEmptyReads = 100

// Copy writes what r holds to w, and returns how many bytes that was, and their
// SHA-256 in lower-case hexadecimal. It is for those who write a [Store]: it does
// what [Store].Put says of r, of the limit and of the context, and it returns the
// errors that Put returns of them, and those of w as they are. After an error, w
// has got a part of the artifact, which is not to be kept.
//
// It reads into buffer, which must not be empty, and does not use more memory.
func Copy(ctx context.Context, w io.Writer, r io.Reader, limit int64, buffer []byte) (size int64, sum string, err error) {
	hash := sha256.New()
	for empty := 0; empty < maxEmptyReads; {
		if err := ctx.Err(); err != nil {
			return 0, "", err
		}
		n, err := r.Read(buffer)
		if n > 0 {
			empty = 0
			size += int64(n)
			if limit > 0 && size > limit {
				return 0, "", fmt.Errorf("%w: more than the %d bytes allowed", ErrTooLarge, limit)
			}
			hash.Write(buffer[:n])
			if _, err := w.Write(buffer[:n]); err != nil {
				return 0, "", err
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
