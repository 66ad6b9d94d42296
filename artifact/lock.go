package artifact

import (
	"errors"
	"os"
	"time"
)

const (
	// lockFile is locked by the one that has a directory open.
	lockFile = "lock"
	// A process that is just ending is waited for.
	lockPatience = time.Second
	lockPause    = 10 * time.Millisecond
)

// errLocked is returned by tryLock when somebody else has the lock.
var errLocked = errors.New("another process has it open: stop that process, or give this one a directory of its own, or both one bucket (foremand has -data and -artifacts for that)")

// lock keeps others from opening the directory until Close, or the end of the process.
// Where the system has no locks, nobody is kept out.
func (d *Dir) lock() (err error) {
	if d.locked, err = d.root.OpenFile(lockFile, os.O_RDWR|os.O_CREATE, fileMode); err != nil {
		return err
	}
	for begun := time.Now(); ; time.Sleep(lockPause) {
		switch err := tryLock(d.locked); {
		case err == nil, errors.Is(err, errors.ErrUnsupported):
			return nil
		case !errors.Is(err, errLocked), time.Since(begun) > lockPatience:
			return err
		}
	}
}
