package command

import (
	"fmt"
	"os"
	"strings"
)

// passedOn are the variables that every program is given: what it takes to find other
// programs, a home and a place for temporary files, and to speak the right language.
// SYSTEMROOT, without which nothing works on Windows, is added by os/exec.
var passedOn = []string{
	"PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR",
	"TEMP", "TMP", "PATHEXT", "USERPROFILE", // of Windows
}

// environment is that of the program, and not nil, which would stand for all of this
// process's. Of a variable that is there twice the last one counts.
func environment(own []string) ([]string, error) {
	env := []string{}
	pass := func(name string) {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	for _, name := range passedOn {
		pass(name)
	}
	for _, v := range own {
		name, _, given := strings.Cut(v, "=")
		switch {
		case name == "" || strings.ContainsRune(v, 0):
			return nil, fmt.Errorf("the variable %q cannot be: write NAME=value, or NAME for one of this process", v)
		case given:
			env = append(env, v)
		default:
			pass(name)
		}
	}
	return env, nil
}
