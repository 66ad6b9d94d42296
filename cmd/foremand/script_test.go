package main

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/foreman-go/foreman/internal/ollamatest"
)

// TestScript runs testdata/script, whose own commands are
//
//	exits CODE COMMAND [ARG...]   runs a command that has to exit with CODE
//	start [ARG...]                starts foremand, with its URL in $URL and its address in $ADDR;
//	                              $MODELS is the URL of a model server
//	end CODE                      sends it SIGTERM; it has to exit with CODE
//	post PATH BODY                sends a request to it, and prints the answer's body
//	get PATH [REGEXP]             likewise, until what is printed matches
//	busy                          sets $ADDR to an address that is in use
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Values[scriptKey{}] = &script{}
			models, err := ollamatest.Start(nil)
			if err != nil {
				return err
			}
			env.Defer(models.Close)
			env.Setenv("MODELS", models.URL())
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "start": startProcess, "end": endProcess, "post": postBody, "get": getUntil, "busy": busy,
		},
	})
}

// script is the foremand that a script has started.
type script struct{ *process }

type scriptKey struct{}

func of(ts *testscript.TestScript) *script { return ts.Value(scriptKey{}).(*script) }

func exits(ts *testscript.TestScript, _ bool, args []string) {
	code := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		code = exit.ExitCode()
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d", code)
	}
}

func startProcess(ts *testscript.TestScript, _ bool, args []string) {
	p, err := launch(ts.MkAbs("."), []string{"TMPDIR=" + ts.Getenv("TMPDIR"), "GORACE=" + ts.Getenv("GORACE"), "GOCOVERDIR=" + ts.Getenv("GOCOVERDIR")}, args...)
	ts.Check(err)
	ts.Defer(p.kill)
	of(ts).process = p
	ts.Setenv("URL", p.url)
	ts.Setenv("ADDR", strings.TrimPrefix(p.url, "http://"))
}

func endProcess(ts *testscript.TestScript, _ bool, args []string) {
	code, err := of(ts).end()
	ts.Check(err)
	_, _ = io.WriteString(ts.Stdout(), strings.Join(of(ts).lines(), "\n"))
	_, _ = io.WriteString(ts.Stderr(), of(ts).stderr.String())
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d", code)
	}
}

func postBody(ts *testscript.TestScript, _ bool, args []string) {
	a, err := send(http.MethodPost, of(ts).url+args[0], args[1])
	ts.Check(err)
	_, _ = ts.Stdout().Write(a.body)
}

func getUntil(ts *testscript.TestScript, _ bool, args []string) {
	wanted := regexp.MustCompile(strings.Join(args[1:], " "))
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		a, err := send(http.MethodGet, of(ts).url+args[0], "")
		ts.Check(err)
		if wanted.Match(a.body) {
			_, _ = ts.Stdout().Write(a.body)
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s", a.body)
		}
	}
}

func busy(ts *testscript.TestScript, _ bool, _ []string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { _ = ln.Close() })
	ts.Setenv("ADDR", ln.Addr().String())
}
