package bolt

import (
	"syscall"

	"go.etcd.io/bbolt"
)

// releaseEvery is after how many commits the pages of the file that were read through
// its mapping are given back: rarely enough to cost nothing, and some dozens of MiB come
// together meanwhile.
const releaseEvery = 128

// release takes the pages of the file out of this process's memory. They stay in the
// system's cache, from where the next reader has them back; but without it, all that
// was ever read or written counts as memory of the process, up to the whole file. Only
// the writer may call it, since a write can move the mapping.
func release(db *bbolt.DB, size int64) {
	// What cannot be given back stays: it is a matter of accounting.
	_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, db.Info().Data, uintptr(size), syscall.MADV_DONTNEED)
}
