package artifact

import (
	"os"

	"golang.org/x/sys/windows"
)

func tryLock(f *os.File) error {
	const all = ^uint32(0)
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, all, all, &windows.Overlapped{})
	if err == windows.ERROR_LOCK_VIOLATION {
		return errLocked
	}
	return err
}
