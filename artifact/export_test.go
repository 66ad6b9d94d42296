package artifact

import "os"

// SetSync replaces what d calls to sync a file or a directory.
func (d *Dir) SetSync(sync func(*os.File) error) { d.fsync = sync }

// Idle reports whether d remembers nothing of Puts and sweeps.
func (d *Dir) Idle() bool {
	d.puts.mu.Lock()
	defer d.puts.mu.Unlock()
	return len(d.puts.temps) == 0 && len(d.puts.claims) == 0
}
