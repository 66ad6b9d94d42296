//go:build unix

package pgtest

import (
	"errors"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// PostgreSQL does not run as root. Then it runs as the user that it is installed with, or
// as nobody.

func stranger() (uid, gid int, err error) {
	for _, name := range []string{"postgres", "nobody"} {
		u, e := user.Lookup(name)
		if e != nil {
			err = errors.Join(err, e)
			continue
		}
		uid, e := strconv.Atoi(u.Uid)
		gid, f := strconv.Atoi(u.Gid)
		return uid, gid, errors.Join(e, f)
	}
	return 0, 0, err
}

func asNobody() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true} // not to be interrupted with the test
	if os.Getuid() == 0 {
		if uid, gid, err := stranger(); err == nil {
			attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		}
	}
	return attr
}

func giveAway(dir string) error {
	if os.Getuid() != 0 {
		return nil
	}
	uid, gid, err := stranger()
	if err != nil {
		return err
	}
	return os.Chown(dir, uid, gid)
}
