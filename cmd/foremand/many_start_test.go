package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
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
	execute(t, server.URL, "CREATE ROLE guarded LOGIN PASSWORD 'another'")
	execute(t, server.URL, "ALTER SYSTEM SET password_encryption = 'scram-sha-256'")
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

		"database, tls tried": {strings.TrimSuffix(at("foreman", u.Host, "nowhere"), "?sslmode=disable"), `database "nowhere" does not exist`},
		"unread":              {strings.Replace(at("foreman", u.Host, "postgres"), password, "hunter2%@hunter2", 1), "percent-encode"},
		"sslmode":             {strings.Replace(at("foreman", u.Host, "postgres"), "=disable", "=zz", 1), "sslmode"},
		"of a pool":           {at("foreman", u.Host, "postgres") + "&pool_max_conns=4", "-store-conns"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name == "host" {
				requireNoSuchHost(t, "no-such-host.invalid")
			}
			begun := time.Now()
			out := refused(t, "-store", tc.url)
			require.Contains(t, out, tc.want)
			require.NotContains(t, out, "hunter2")
			require.Less(t, time.Since(begun), 10*time.Second)
		})
	}
	require.Contains(t, refused(t, "-store", server.URL, "-store-schema", "a-b"), "-store: ")
	require.Contains(t, refused(t, "-artifacts", t.TempDir()), "-artifacts: ")
}

// refused is the one line that foremand says when a setting is wrong.
func refused(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "foremand", append([]string{"-dev", "-data", t.TempDir(), "-addr", "127.0.0.1:0"}, args...)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	exit, ok := errors.AsType[*exec.ExitError](cmd.Run())
	require.True(t, ok, out.String())
	require.Equal(t, 2, exit.ExitCode(), out.String())
	require.Equal(t, 1, strings.Count(out.String(), "\n"), "one line: %s", out.String())
	t.Log(out.String())
	return out.String()
}

// foremand that waits for its database answers, and ends as it does at any other time.
func TestEndBeforeTheDatabase(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := ln.Addr().String()
	require.NoError(t, ln.Close())
	cmd := exec.CommandContext(t.Context(), "foremand", "-dev", "-data", t.TempDir(), "-addr", addr, "-store", "postgres://foreman:hunter2@127.0.0.1:1/x")
	var stdout, stderr transcript.Text
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	require.NoError(t, cmd.Start())
	defer func() { _ = cmd.Process.Kill() }() // if it has not ended
	require.Eventually(t, func() bool { return strings.Contains(stderr.String(), "trying again") }, patience, 10*time.Millisecond)
	require.Equal(t, http.StatusOK, get(t, "http://"+addr+"/healthz").status)
	a := get(t, "http://"+addr+"/readyz")
	require.Equal(t, http.StatusServiceUnavailable, a.status)
	require.NotEmpty(t, a.header.Get("Retry-After"))
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, cmd.Wait())
	require.Empty(t, stdout.String())
	require.Contains(t, stderr.String(), "told to end")
	require.NotContains(t, stderr.String(), "canceled")
	require.NotContains(t, stderr.String(), "hunter2")
}

// The server is the right one by its certificate, and the password is in a file.
func TestVerifiedServer(t *testing.T) {
	server := pgtest.Start(t)
	for _, statement := range []string{"CREATE ROLE guarded LOGIN PASSWORD 'hun@ter:2'", "CREATE SCHEMA foreman AUTHORIZATION guarded"} {
		execute(t, server.URL, statement)
	}
	ca := server.UseTLS(t)
	server.AskForPasswords(t, "guarded")
	u, err := url.Parse(server.URL)
	require.NoError(t, err)
	at := func(host string) string {
		return "postgres://guarded@" + net.JoinHostPort(host, u.Port()) + "/postgres?sslmode=verify-full&sslrootcert=" + url.QueryEscape(ca)
	}
	passwords := filepath.Join(t.TempDir(), "pgpass")
	require.NoError(t, os.WriteFile(passwords, []byte("*:*:*:guarded:hun@ter\\:2\n"), 0o600))

	p := startIn(t, []string{"PGPASSFILE=" + passwords}, "-dev", "-store", at("localhost"))
	require.Equal(t, "done", post(t, p.url+"/jobs", hello, "Prefer: wait=20").job(t).State)
	var encrypted bool
	conn, err := pgx.Connect(t.Context(), server.URL)
	require.NoError(t, err)
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT bool_and(s.ssl) FROM pg_stat_ssl s JOIN pg_stat_activity USING (pid) WHERE usename = 'guarded'").Scan(&encrypted))
	require.NoError(t, conn.Close(t.Context()))
	require.True(t, encrypted)

	t.Setenv("PGPASSFILE", passwords)
	require.Contains(t, refused(t, "-store", at("127.0.0.1")), "certificate", "it is that of localhost")
	require.Contains(t, refused(t, "-store", strings.Replace(at("localhost"), "guarded@", "guarded:another@", 1)), "password authentication failed")
}

func execute(t *testing.T, url, statement string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), statement)
	require.NoError(t, err)
	require.NoError(t, conn.Close(t.Context()))
}

// requireNoSuchHost skips a test on a machine whose resolver says nothing of a host that
// there is not.
func requireNoSuchHost(t *testing.T, host string) {
	_, err := net.DefaultResolver.LookupHost(t.Context(), host)
	if dns, ok := errors.AsType[*net.DNSError](err); !ok || !dns.IsNotFound {
		t.Skipf("the resolver of this machine does not say that there is no %s: %v", host, err)
	}
}
