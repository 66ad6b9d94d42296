package command

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/artifact"
)

// Options are for [New]. Path is required; the zero value of every other field is a
// default.
type Options struct {
	// Path is the program: its name, looked up in the PATH of this process, or a path,
	// which is relative to the working directory of this process and not to Dir. It is
	// no template.
	Path string
	// Args are the arguments, without the program's name, each a template: see the
	// documentation of the package. Each is one argument of the program, always.
	Args []string
	// Dir is the directory that the program runs in. If Dir is empty, it is the working
	// directory of this process.
	Dir string
	// Env holds what the program has in its environment besides the little that every
	// program is given, and instead of it: "NAME=value", or "NAME" for a variable of
	// this process, if it is set. Given without being named are PATH, HOME, USER, LANG,
	// LC_ALL, TZ and TMPDIR, and on Windows what programs cannot start without; nothing
	// else of this process's environment, since that may hold secrets.
	Env []string

	// Stdin is the template of what the program reads from its standard input, such as
	// "{{.Input.text}}", or "{{.Input}}" for the text of an input that is a JSON string.
	// If Stdin is empty, it is the input as JSON, as it was sent.
	Stdin string
	// NoStdin gives the program an empty standard input instead, for programs that take
	// it for commands. The default is false.
	NoStdin bool

	// Output says what becomes of the standard output.
	Output Output
	// MaxOutput bounds the standard output in bytes. A program that prints more is
	// stopped, and its job fails for good. If MaxOutput is 0, 64 MiB is used, and 1 MiB
	// for a result, which is held in memory.
	MaxOutput int64
	// MaxLog bounds what is kept of the standard error in bytes: when there is more, its
	// beginning and its end, with a line between them that says how much is missing. It
	// is held in memory. If MaxLog is 0, 1 MiB is used.
	MaxLog int

	// FinalExits are the exit statuses that no other attempt can mend: the job fails at
	// once as [foreman.BackendRejected]. If FinalExits is nil, those that sysexits.h has
	// for faults of the request are used: 64 (usage), 65 (data) and 66 (no input). Empty
	// and not nil stands for none.
	FinalExits []int
	// Timeout ends an attempt that takes longer, besides the run_timeout of the job; it
	// counts as that does. If Timeout is 0, there is no other.
	Timeout time.Duration
	// GracePeriod is how long a program that was asked to stop can go on; negative for
	// not at all. If GracePeriod is 0, five seconds is used.
	GracePeriod time.Duration
}

// Output says what becomes of the standard output. It is streamed to whoever watches in
// any case.
type Output struct {
	// Result makes it the result of the job, if the program ends well: the JSON value
	// that it is, or else a JSON string of the text without the line ends at its end.
	// What a program printed that did not end well is kept as the artifact. If Result is
	// false, it becomes the artifact.
	Result bool
	// Artifact names the artifact; log is taken. If Artifact is empty, output is used.
	Artifact string
	// ContentType is that of the artifact. If ContentType is empty,
	// application/octet-stream is used.
	ContentType string
}

// Backend runs a program for each job, as a [foreman.Backend]. It is safe for concurrent
// use, and starts no goroutines but in Run.
type Backend struct {
	o     Options // with its defaults, and an absolute Path
	args  []argument
	stdin template
	env   []string
}

var _ foreman.Backend = (*Backend)(nil)

// New makes a Backend. It starts nothing, and does not keep o. The error says what is
// wrong with the options: a program that cannot be found or is not executable, a template
// that cannot be parsed, a Dir that is no directory, or a value that cannot be.
func New(o *Options) (*Backend, error) {
	b, err := newBackend(o)
	if err != nil {
		return nil, fmt.Errorf("command: %w", err)
	}
	return b, nil
}

func newBackend(o *Options) (*Backend, error) {
	if o == nil || o.Path == "" {
		return nil, errors.New("no program: set Path to its name or path")
	}
	b := &Backend{o: o.filled()}
	var err error
	if b.o.Path, err = findProgram(o.Path); err != nil {
		return nil, err
	}
	if b.args, err = parseArgs(o.Args); err != nil {
		return nil, err
	}
	if b.stdin, err = parseTemplate(o.Stdin); err != nil {
		return nil, fmt.Errorf("the template of Stdin: %w", err)
	}
	if b.env, err = environment(o.Env); err != nil {
		return nil, err
	}
	if o.NoStdin && o.Stdin != "" {
		return nil, errors.New("both Stdin and NoStdin are set: leave one of them out")
	}
	if o.MaxOutput < 0 || o.MaxLog < 0 || o.Timeout < 0 {
		return nil, errors.New("MaxOutput, MaxLog and Timeout must not be negative: use 0 for the defaults")
	}
	if slices.ContainsFunc(o.FinalExits, func(n int) bool { return n <= 0 }) {
		return nil, errors.New("FinalExits must hold numbers above 0")
	}
	if o.Dir != "" {
		if info, err := os.Stat(o.Dir); err != nil {
			return nil, fmt.Errorf("the working directory of the program: %w", err)
		} else if !info.IsDir() {
			return nil, fmt.Errorf("the working directory of the program, %s, is not a directory", o.Dir)
		}
	}
	if b.o.Output.Artifact == logName {
		return nil, fmt.Errorf("the artifact of the output cannot be %s: the standard error is kept there", logName)
	}
	if err := artifact.CheckName(b.o.Output.Artifact); err != nil {
		return nil, fmt.Errorf("the artifact of the output: %w", err)
	}
	if _, err := artifact.CheckContentType(b.o.Output.ContentType); err != nil {
		return nil, fmt.Errorf("the content type of the output: %w", err)
	}
	return b, nil
}

// filled returns the options with their defaults, sharing nothing that Run reads.
func (o *Options) filled() Options {
	f := *o
	if f.Output.Artifact == "" {
		f.Output.Artifact = "output"
	}
	if f.MaxOutput == 0 {
		f.MaxOutput = 64 << 20
		if f.Output.Result {
			f.MaxOutput = 1 << 20
		}
	}
	if f.MaxLog == 0 {
		f.MaxLog = 1 << 20
	}
	if f.GracePeriod == 0 {
		f.GracePeriod = 5 * time.Second
	}
	if f.FinalExits == nil {
		f.FinalExits = []int{64, 65, 66} // EX_USAGE, EX_DATAERR, EX_NOINPUT
	}
	f.FinalExits = slices.Clone(f.FinalExits)
	return f
}

// findProgram returns the absolute path of a program, so that neither Dir nor a PATH that
// changes makes it another one.
func findProgram(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%w: install it, or set Path to an executable file (PATH is %q)", err, os.Getenv("PATH"))
	}
	if err := refuseProgram(path); err != nil {
		return "", err
	}
	return filepath.Abs(path)
}
