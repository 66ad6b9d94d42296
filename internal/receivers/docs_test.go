package receivers_test

import (
	"bufio"
	"bytes"
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/internal/need"
	"github.com/foreman-go/foreman/webhook"
	"github.com/foreman-go/foreman/webhook/webhooktest"
)

// The programs in docs/receivers.md receive real deliveries.
func TestDocumentedPrograms(t *testing.T) {
	text, err := os.ReadFile("../../docs/receivers.md")
	require.NoError(t, err)
	var programs []string
	for _, m := range regexp.MustCompile("(?s)```(?:js|python)\n(.*?)```").FindAllSubmatch(text, -1) {
		programs = append(programs, string(m[1]))
	}
	require.Len(t, programs, 3, "give each program of the page its test")

	t.Run("standardwebhooks", func(t *testing.T) {
		needsNode(t)
		p := start(t, programs[0], "node", "--input-type=module", "-")
		p.accepts(t, true)
		p.isPinged(t)
		p.refuses(t, true)
	})
	t.Run("octokit", func(t *testing.T) {
		needsNode(t)
		p := start(t, programs[1], "node", "--input-type=module", "-")
		p.accepts(t, false)
		p.isPinged(t)
		p.refuses(t, false)
	})
	t.Run("python", func(t *testing.T) {
		need.Program(t, "python3", "install python3, 3.9 or later, to have deliveries verified by Python")
		script := filepath.Join(t.TempDir(), "receiver.py")
		require.NoError(t, os.WriteFile(script, []byte(programs[2]), 0o600))
		p := start(t, "", "python3", script)
		p.accepts(t, true)
		p.isPinged(t)
		p.refuses(t, true)

		// The same event again, in another attempt and in the same one, is accepted
		// and does nothing. Had it done something, a line would come before the next.
		s := newSender(t, webhook.SenderOptions{Secret: standardSecret})
		require.Equal(t, http.StatusNoContent, s.Send(t.Context(), message(t, p.url)).Status)
		m := message(t, p.url)
		m.ID, m.Body = "another", bytes.Replace(m.Body, []byte(`"sequence":3`), []byte(`"sequence":4`), 1)
		require.Equal(t, http.StatusNoContent, s.Send(t.Context(), m).Status)
		require.Equal(t, "4: done", <-p.lines)
	})
}

// program is a receiver in a process of its own. Its secret is standardSecret.
type program struct {
	url   string
	lines chan string // of its output
}

// start runs a command in the directory that has the libraries for Node.
func start(t *testing.T, stdin, name string, args ...string) *program {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Stdin, cmd.WaitDelay = npm, strings.NewReader(stdin), 10*time.Second
	cmd.Env = append(os.Environ(), "PORT=0", "WEBHOOK_SECRET="+standardSecret,
		"OTHER_WEBHOOK_SECRETS="+plainOther, "WEBHOOK_DB="+filepath.Join(t.TempDir(), "webhooks.db"))
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	p := &program{lines: make(chan string, 100)}
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(p.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			p.lines <- s.Text()
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-read
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(complaints.String())
		}
	})
	port, ok := strings.CutPrefix(<-p.lines, "listening on ")
	require.True(t, ok, "it has not started")
	p.url = "http://127.0.0.1:" + port + "/"
	return p
}

// plainOther is another secret of the receivers that take more than one.
const plainOther = "the-other-secret"

// accepts sends what the receiver has to take.
func (p *program) accepts(t *testing.T, standard bool) {
	t.Helper()
	senders := []webhook.SenderOptions{{Secret: standardSecret}}
	if standard {
		// The sender has changed its secret, and the receiver not yet.
		senders = append(senders, webhook.SenderOptions{Secret: plainSecret, OldSecrets: []webhook.OldSecret{{Secret: standardSecret}}})
	} else {
		senders = append(senders, webhook.SenderOptions{Secret: plainOther})
	}
	for i, o := range senders {
		m := message(t, p.url)
		m.ID = []string{m.ID, "second"}[i]
		out := newSender(t, o).Send(t.Context(), m)
		require.Equal(t, http.StatusNoContent, out.Status, out.Err)
		require.Equal(t, "3: done", <-p.lines)
	}
}

// isPinged sends what a check of the URL does. The receiver takes it, and does nothing.
func (p *program) isPinged(t *testing.T) {
	t.Helper()
	body, err := webhook.Event{JobID: "01M85PGTP08PXFYBRQN7C8XPP8", State: "ping", Timestamp: time.Now()}.MarshalJSON()
	require.NoError(t, err)
	out := newSender(t, webhook.SenderOptions{Secret: standardSecret}).Send(t.Context(),
		webhook.Message{URL: p.url, ID: "check_01M85PGTP08PXFYBRQN7C8XPP8", Body: body})
	require.Equal(t, http.StatusNoContent, out.Status, out.Err)

	// Had it done something, a line would come before that of the next event.
	m := message(t, p.url)
	m.ID = "after-the-ping"
	out = newSender(t, webhook.SenderOptions{Secret: standardSecret}).Send(t.Context(), m)
	require.Equal(t, http.StatusNoContent, out.Status, out.Err)
	require.Equal(t, "3: done", <-p.lines)
}

// refuses sends what it must not take.
func (p *program) refuses(t *testing.T, standard bool) {
	t.Helper()
	right := capture(t, webhook.SenderOptions{Secret: standardSecret})
	bad := map[string]*webhooktest.Delivery{
		"another secret": capture(t, webhook.SenderOptions{Secret: "another"}),
		"not signed":     capture(t, webhook.SenderOptions{}),
		"changed body":   {Header: right.Header, Body: append(right.Body[:len(right.Body):len(right.Body)], ' ')},
	}
	if standard {
		bad["stale"] = &webhooktest.Delivery{Header: aged(t, standardSecret, right, 301*time.Second), Body: right.Body}
		bad["in the future"] = &webhooktest.Delivery{Header: aged(t, standardSecret, right, -400*time.Second), Body: right.Body}
		bad["another id"] = &webhooktest.Delivery{Header: right.Header.Clone(), Body: right.Body}
		bad["another id"].Header.Set("webhook-id", "another")
	}
	for name, d := range bad {
		require.Equal(t, http.StatusUnauthorized, p.post(t, d), name)
	}
	require.Equal(t, http.StatusNoContent, p.post(t, right), "as it was")
}

func (p *program) post(t *testing.T, d *webhooktest.Delivery) int {
	t.Helper()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url, bytes.NewReader(d.Body))
	require.NoError(t, err)
	req.Header = d.Header
	resp, err := transport.RoundTrip(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode
}
