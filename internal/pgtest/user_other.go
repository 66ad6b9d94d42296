//go:build !unix

package pgtest

import "syscall"

func asNobody() *syscall.SysProcAttr { return nil }

func giveAway(string) error { return nil }
