package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/foreman-go/foreman/internal/transcript"
)

// TestMain puts foremand, built as these tests are, on the PATH of the tests.
func TestMain(m *testing.M) {
	testscript.Main(leakless{m}, map[string]func(){"foremand": main})
}

type leakless struct{ m *testing.M }

func (l leakless) Run() int {
	code := l.m.Run()
	http.DefaultClient.CloseIdleConnections()
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// patience is how long a test waits for something that has to happen.
const patience = 30 * time.Second

// process is a running foremand.
type process struct {
	url string
	cmd *exec.Cmd

	mu     sync.Mutex
	stdout []string // its lines
	more   chan struct{}
	stderr transcript.Text
	ended  chan struct{}
}

// launch starts foremand in a directory and an environment of its own, and returns
// when it says that it listens.
func launch(dir string, environ []string, args ...string) (*process, error) {
	cmd := exec.Command("foremand", args...)
	cmd.Dir, cmd.Env = dir, environ
	p := &process{cmd: cmd, more: make(chan struct{}, 1), ended: make(chan struct{})}
	cmd.Stderr = &p.stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.ended)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			p.mu.Lock()
			p.stdout = append(p.stdout, lines.Text())
			p.mu.Unlock()
			select {
			case p.more <- struct{}{}:
			default:
			}
		}
		_ = cmd.Wait()
	}()
	line, err := p.line("listening on ")
	if err != nil {
		p.kill()
		return nil, err
	}
	p.url = strings.TrimPrefix(line, "listening on ")
	return p, nil
}

// start is launch for a test, which kills the process if it has not ended by itself.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	return startIn(t, nil, args...)
}

// environment is what foremand gets from that of a test, with the variables whose names
// begin with one of some prefixes.
func environment(t *testing.T, prefixes ...string) []string {
	all := []string{"TMPDIR=" + t.TempDir(), "GORACE=" + os.Getenv("GORACE"), "GOCOVERDIR=" + os.Getenv("GOCOVERDIR")}
	for _, v := range os.Environ() {
		if slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(v, p) }) {
			all = append(all, v)
		}
	}
	return all
}

// startIn is start with more in its environment.
func startIn(t *testing.T, more []string, args ...string) *process {
	t.Helper()
	p, err := launch(t.TempDir(), append(environment(t), more...), append([]string{"-addr", "127.0.0.1:0"}, args...)...)
	require.NoError(t, err)
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Log(p.stderr.String())
		}
	})
	return p
}

// line waits for a line on standard output that begins with a prefix.
func (p *process) line(prefix string) (string, error) {
	after := time.NewTimer(patience)
	defer after.Stop()
	for {
		for _, l := range p.lines() {
			if strings.HasPrefix(l, prefix) {
				return l, nil
			}
		}
		select {
		case <-p.more:
		case <-p.ended:
			return "", fmt.Errorf("foremand has ended: %s", p.stderr.String())
		case <-after.C:
			return "", fmt.Errorf("foremand did not say %q", prefix)
		}
	}
}

func (p *process) lines() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.stdout...)
}

// kill ends the process as a crash does.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// end asks the process to end, and returns its exit code.
func (p *process) end() (code int, err error) {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return 0, err
	}
	select {
	case <-p.ended:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-time.After(patience):
		return 0, fmt.Errorf("foremand did not end: %s", p.stderr.String())
	}
}

// answer is what a request got.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// job is what the tests look at in a job.
type job struct {
	ID        string `json:"job_id"`
	State     string
	Attempt   int
	Result    json.RawMessage
	Error     *struct{ Type, Message string }
	Artifacts []struct {
		Name        string
		ContentType string `json:"content_type"`
		Size        int64
		SHA256      string
		Data        *string
		Encoding    string
		URL         string
	}
	Queue *struct {
		WaitingFor string `json:"waiting_for"`
	}
	Webhook *struct{ Pending, Delivered, Failed int }
}

func (a answer) job(t *testing.T) (j job) {
	t.Helper()
	require.NoError(t, json.Unmarshal(a.body, &j), string(a.body))
	return j
}

// send sends a request with headers, each in the form "Name: value".
func send(method, url, body string, headers ...string) (a answer, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return a, err
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	a.status, a.header = resp.StatusCode, resp.Header
	a.body, err = io.ReadAll(resp.Body)
	return a, err
}

func get(t *testing.T, url string, headers ...string) answer {
	t.Helper()
	a, err := send(http.MethodGet, url, "", headers...)
	require.NoError(t, err)
	return a
}

func post(t *testing.T, url, body string, headers ...string) answer {
	t.Helper()
	a, err := send(http.MethodPost, url, body, headers...)
	require.NoError(t, err)
	return a
}

// until asks for a job until it is as wanted.
func until(t *testing.T, url string, wanted func(job) bool) (j job) {
	t.Helper()
	require.Eventually(t, func() bool {
		a, err := send(http.MethodGet, url, "")
		return err == nil && json.Unmarshal(a.body, &j) == nil && wanted(j)
	}, patience, 20*time.Millisecond)
	return j
}
