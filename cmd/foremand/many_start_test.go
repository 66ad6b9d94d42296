package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/internal/pgtest"
	"github.com/foreman-go/foreman/internal/transcript"
)

// foremand that is started before its database says so, and waits for it.
func TestStartBeforeTheDatabase(t *testing.T) {
	server := pgtest.Start(t)
	server.Stop(t)
	cmd := exec.CommandContext(t.Context(), "foremand", "-dev", "-data", t.TempDir(), "-addr", "127.0.0.1:0", "-store", server.URL, "-artifacts", "file://"+t.TempDir())
	var stdout, stderr transcript.Text
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	require.NoError(t, cmd.Start())
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	}()
	says := func(out *transcript.Text, text string) {
		t.Helper()
		require.Eventually(t, func() bool { return strings.Contains(out.String(), text) }, patience, 10*time.Millisecond, "%q: %s", text, stderr.String())
	}
	says(&stderr, `cannot be reached; trying again" what="the database of -store"`)
	require.NotContains(t, stdout.String(), "listening")
	server.Start(t)
	says(&stdout, "listening on ")
	line := stdout.String()
	_, line, _ = strings.Cut(line, "listening on ")
	line, _, _ = strings.Cut(line, "\n")
	require.Equal(t, http.StatusOK, get(t, line+"/readyz").status)
}

// What waiting does not mend is refused at once, in one sentence that has no password.
func TestStartRefused(t *testing.T) {
	const password = "hunter2hunter2"
	server := pgtest.Start(t)
	conn, err := pgx.Connect(t.Context(), server.URL)
	require.NoError(t, err)
	for _, statement := range []string{
		"CREATE ROLE guarded LOGIN PASSWORD 'another'",
		"ALTER SYSTEM SET password_encryption = 'scram-sha-256'",
	} {
		_, err = conn.Exec(t.Context(), statement)
		require.NoError(t, err)
	}
	require.NoError(t, conn.Close(t.Context()))
	server.AskForPasswords(t, "guarded")
	u, err := url.Parse(server.URL)
	require.NoError(t, err)
	at := func(user, host, database string) string {
		return fmt.Sprintf("postgres://%s:%s@%s/%s?sslmode=disable", user, password, host, database)
	}
	for name, tc := range map[string]struct{ url, want string }{
		"password": {at("guarded", u.Host, "postgres"), "password authentication failed"},
		"database": {at("foreman", u.Host, "nowhere"), `database "nowhere" does not exist`},
		"user":     {at("nobody_here", u.Host, "postgres"), `role "nobody_here" does not exist`},
		"host":     {at("foreman", net.JoinHostPort("no-such-host.invalid", u.Port()), "postgres"), "no-such-host.invalid"},
		"tls":      {strings.Replace(at("foreman", u.Host, "postgres"), "=disable", "=verify-full", 1), "TLS"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name == "host" {
				requireNoSuchHost(t, "no-such-host.invalid")
			}
			cmd := exec.CommandContext(t.Context(), "foremand", "-dev", "-data", t.TempDir(), "-addr", "127.0.0.1:0", "-store", tc.url)
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			begun := time.Now()
			require.Error(t, cmd.Run())
			t.Log(out.String())
			require.Contains(t, out.String(), tc.want)
			require.NotContains(t, out.String(), password)
			require.Less(t, time.Since(begun), 10*time.Second)
			require.Equal(t, 1, strings.Count(out.String(), "\n"), "one line")
		})
	}
}

// requireNoSuchHost skips a test on a machine whose resolver says nothing of a host that
// there is not.
func requireNoSuchHost(t *testing.T, host string) {
	_, err := net.DefaultResolver.LookupHost(t.Context(), host)
	if dns, ok := errors.AsType[*net.DNSError](err); !ok || !dns.IsNotFound {
		t.Skipf("the resolver of this machine does not say that there is no %s: %v", host, err)
	}
}
