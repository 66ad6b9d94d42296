package artifact

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Owned is implemented by a [Store] that keeps which queue it belongs to: the sweep of
// another would remove all that it has.
type Owned interface {
	// Own makes the store that of a queue, durably, if it is nobody's yet. The id is up to
	// 64 bytes that no other queue has. If the store is another's, the error is [ErrOwned]
	// and says what can be done. Of several queues that come at once, one gets it: a store
	// that cannot tell at once which tells when it is asked again, which is to be done
	// before each Sweep.
	Own(ctx context.Context, queue string) error
}

// ownerFile has the id of the queue that a directory belongs to.
const ownerFile = "queue"

// Own is the Own of [Owned]. The id is in the file queue of the directory.
func (d *Dir) Own(ctx context.Context, queue string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	d.owning.Lock()
	defer d.owning.Unlock()
	owner, err := d.root.ReadFile(ownerFile)
	if errors.Is(err, fs.ErrNotExist) {
		owner, err = []byte(queue), d.writeOwner(queue)
	}
	switch {
	case err != nil:
		return fmt.Errorf("artifact: find out whose %s is: %w", d.root.Name(), d.advise(err))
	case string(owner) != queue:
		return fmt.Errorf("artifact: %s: it %w, whose id is in its file %s (%q, and this one is %q): give this queue a directory of its own; if the other one is no more, or has moved here, remove that file",
			d.root.Name(), ErrOwned, ownerFile, owner, queue)
	}
	return nil
}

func (d *Dir) writeOwner(queue string) error {
	const temp = ownerFile + ".new"
	f, err := d.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return err
	}
	_, err = f.WriteString(queue)
	if err == nil {
		err = d.fsync(f)
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = d.root.Rename(temp, ownerFile)
	}
	if err != nil {
		return err
	}
	return d.syncDir(".")
}
