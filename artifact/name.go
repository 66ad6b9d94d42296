package artifact

import (
	"fmt"
	"strings"
)

// maxName is the length in bytes of the longest name.
const maxName = 128

// CheckName returns an error that is [ErrName] unless name can be the name of
// an artifact on every system it may be saved to: 1 to 128 ASCII letters,
// digits, '.', '_' and '-', with no dot at either end, and not the name of a
// Windows device (CON, PRN, AUX, NUL, COM1 to COM9, LPT1 to LPT9) in upper or
// lower case, alone or before a dot. (CONIN$ and CONOUT$ are out for their '$'.)
//
// Such a name is one element of a path and cannot leave a directory. Case is
// significant: see [Key]. Whoever saves artifacts to a file system that ignores
// case must look out for names that differ by nothing else.
func CheckName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("artifact: %w: it is empty", ErrName)
	case len(name) > maxName:
		return fmt.Errorf("artifact: %w: it has %d bytes; at most %d are allowed", ErrName, len(name), maxName)
	}
	for i := range len(name) {
		if !isNameByte(name[i]) {
			return fmt.Errorf("artifact: %w %q: only ASCII letters, digits, '.', '_' and '-' are allowed", ErrName, name)
		}
	}
	if name[0] == '.' || name[len(name)-1] == '.' {
		return fmt.Errorf("artifact: %w %q: it must not begin or end with a dot", ErrName, name)
	}
	if isDevice(name) {
		return fmt.Errorf("artifact: %w %q: Windows has a device of that name", ErrName, name)
	}
	return nil
}

func isNameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || isUpper(c) || isDigit(c) || c == '.' || c == '_' || c == '-'
}

func isUpper(c byte) bool { return 'A' <= c && c <= 'Z' }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// isDevice reports whether Windows would open a device instead of a file.
func isDevice(name string) bool {
	base, _, _ := strings.Cut(strings.ToUpper(name), ".")
	switch base {
	case "CON", "PRN", "AUX", "NUL":
		return true
	}
	if len(base) != 4 || base[:3] != "COM" && base[:3] != "LPT" {
		return false
	}
	return '1' <= base[3] && base[3] <= '9'
}

// crockford is the alphabet of a ULID.
const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// CheckJob returns an error that is [ErrName] unless job is a ULID in its
// canonical form. Other spellings of the same ULID are refused: each would be a
// job of its own.
func CheckJob(job string) error {
	ok := len(job) == 26 && job[0] <= '7' // 26 digits hold 130 bits, a ULID has 128
	for i := 0; ok && i < len(job); i++ {
		ok = strings.IndexByte(crockford, job[i]) >= 0
	}
	if !ok {
		const most = 64
		return fmt.Errorf("artifact: %w: job id %.*q is not a ULID (26 upper-case characters)", ErrName, most, job)
	}
	return nil
}

// Check returns an error that is [ErrName] unless k can be a key: unless
// [CheckJob] and [CheckName] accept what it consists of.
func (k Key) Check() error {
	if err := CheckJob(k.Job); err != nil {
		return err
	}
	return CheckName(k.Name)
}
