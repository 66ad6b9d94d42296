package daemon

import (
	"fmt"
	"io"
	"runtime/debug"
	"text/tabwriter"
)

// usage prints the help.
func usage(w io.Writer) {
	fmt.Fprint(w, `foremand queues jobs for an Ollama server, runs them and keeps what comes of them.

Try it out:  foremand -dev
Move jobs:   foremand export [flags] FILE, then foremand import [flags] FILE

`)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "FLAG\tVARIABLE\tMEANING")
	for _, s := range new(config).settings(nil) {
		flag := "-" + s.name
		if s.value != "" {
			flag += " " + s.value
		}
		standard := ""
		if s.standard != "" && s.kind != boolean {
			standard = " (default " + s.standard + ")"
		}
		fmt.Fprintf(t, "%s\t%s\t%s%s\n", flag, variable(s.name), s.help, standard)
	}
	fmt.Fprintln(t, "-version\t\tprint the version, and end")
	fmt.Fprintln(t, "-h\t\tprint this, and end")
	t.Flush()
	fmt.Fprint(w, `
A config file has the names of the flags. A flag counts before a variable, a variable
before the file. The first line on standard output is "listening on" and the URL.
SIGTERM or Ctrl-C ends foremand once running jobs have ended or been put back; a second
one ends it at once. Exit codes: 0 ended as asked, 1 something went wrong, 2 a setting
is wrong.
`)
}

// version is that of the module this program was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(unknown)"
	}
	return info.Main.Version
}
