package daemon

import (
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
)

// hookPath is where the webhook receiver of -dev is.
const hookPath = "/dev/webhooks"

// trial is what -dev adds beside the echo model: a webhook receiver, and what to try. A
// nil trial adds nothing.
type trial struct {
	stdout   io.Writer
	receiver *receiver
}

// newTrial fills in what the settings leave open, which is a data directory and a
// secret, and lets webhooks go to this machine, where its receiver is on its own
// listener.
func newTrial(c *config, stdout io.Writer) (*trial, error) {
	if !c.dataGiven {
		dir, err := os.MkdirTemp("", "foreman-dev-")
		if err != nil {
			return nil, fmt.Errorf("data directory: %w", err)
		}
		c.data = dir
	}
	if c.webhookSecret == "" {
		c.webhookSecret = rand.Text()
	}
	c.webhookGuard.Prefixes = append(c.webhookGuard.Prefixes,
		netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"))
	out := &lines{w: stdout}
	r, err := newReceiver(c.webhookSecret, out)
	return &trial{stdout: out, receiver: r}, err
}

// introduce says where everything is, and what to try.
func (d *trial) introduce(c *config, addr net.Addr) {
	if d == nil {
		return
	}
	host := addr.String()
	if ap, err := netip.ParseAddrPort(host); err == nil && (ap.Addr() == netip.IPv6Loopback() || ap.Addr().String() == "127.0.0.1") {
		host = fmt.Sprintf("localhost:%d", ap.Port())
	}
	token := ""
	if c.tokensFile != "" {
		token = ` -H "Authorization: Bearer $TOKEN"`
	}
	const messages = `"messages":[{"role":"user","content":"hello there"}]`
	fmt.Fprintf(d.stdout, `data directory %[1]s (to go on with it another time: -dev%[7]s)

Submit a job, whose webhooks are verified and printed here:

  curl -i %[2]s/jobs%[3]s -d '{"model":"echo",%[4]s,"state_webhook_url":"http://%[5]s%[6]s"}'

Wait for one, or ask as Ollama is asked:

  curl -i -H 'Prefer: wait=10' %[2]s/jobs%[3]s -d '{"model":"echo",%[4]s}'
  curl -i %[2]s/api/chat%[3]s -d '{"model":"echo",%[4]s}'

`, c.data, host, token, messages, addr, hookPath, goOn(c))
}

// goOn are the flags that lead to the same jobs and artifacts. URLs, which may have
// passwords, are left out.
func goOn(c *config) (flags string) {
	if c.store != "" {
		flags += " -store ..."
	}
	if c.artifacts != "" {
		flags += " -artifacts ..."
	}
	if c.store == "" || c.artifacts == "" {
		flags += " -data " + c.data
	}
	return flags
}
