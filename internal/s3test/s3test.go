// Package s3test starts a real S3 server for a test: Versity's gateway, which is
// in Go, keeps buckets in directories, and speaks the protocol whole: signatures,
// multipart uploads, conditional writes. It listens on this machine alone, and ends
// with the test, or with the process that runs it.
//
// The server is built when it is first needed, by go install, at the version that
// is written here, which takes a minute or two and is then kept in the user's cache
// directory. Its modules are none of this module's.
package s3test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/internal/need"
)

// Version is that of the server.
const Version = "v1.8.0"

const (
	server = "github.com/versity/versitygw/cmd/versitygw"

	accessKey = "foreman-test"
	secretKey = "foreman-test-secret"
)

// Server is an S3 server that runs.
type Server struct {
	// Address is its host and port.
	Address string

	root string // has a directory for each bucket
	stop func()
}

// Start starts a server in a temporary directory, and sets the environment of the
// test so that AWS's SDK has its credentials, and looks for no others. The test
// must not be parallel. If the server cannot be built, the test is skipped, or, in
// CI, fails.
func Start(tb testing.TB) *Server {
	tb.Helper()
	program, err := build(tb.Context())
	need.Must(tb, err, "go install "+server+"@"+Version+" has to work, with a module proxy or a module cache, for an S3 server to test with")
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": accessKey, "AWS_SECRET_ACCESS_KEY": secretKey, "AWS_SESSION_TOKEN": "",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_PROFILE": "", "AWS_ENDPOINT_URL": "", "AWS_REGION": "", "AWS_DEFAULT_REGION": "",
	} {
		tb.Setenv(name, value)
	}
	dir := tb.TempDir()
	s := &Server{root: filepath.Join(dir, "buckets")}
	for _, path := range []string{s.root, filepath.Join(dir, "metadata")} {
		require.NoError(tb, os.Mkdir(path, 0o700))
	}
	const tries = 5 // another process may take the port first
	for range tries {
		if err = s.start(program, dir); err == nil {
			tb.Cleanup(s.Stop)
			return s
		}
	}
	require.NoError(tb, err)
	return nil
}

// Arguments have the server keep a bucket in each directory of buckets, what is known of
// objects beside their bytes in another directory, and say at /health that it is there.
func Arguments(metadata, buckets string) []string {
	return []string{"--health", "/health", "posix", "--sidecar", metadata, buckets}
}

// start starts it on a port that is free, and waits until it answers.
func (s *Server) start(program, dir string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.Address = listener.Addr().String()
	if err := listener.Close(); err != nil {
		return err
	}
	var output strings.Builder
	args := []string{"--port", s.Address, "--access", accessKey, "--secret", secretKey, "--quiet"}
	cmd := exec.Command(program, append(args, Arguments(filepath.Join(dir, "metadata"), s.root)...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &output, &output
	dieWithParent(cmd)
	started, ended := make(chan error, 1), make(chan struct{})
	go func() {
		runtime.LockOSThread() // it is this thread that is the parent
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
		close(ended)
	}()
	if err := <-started; err != nil {
		return err
	}
	s.stop = func() {
		_ = cmd.Process.Kill()
		<-ended
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	patience := time.After(time.Minute)
	for {
		select {
		case <-ended:
			return fmt.Errorf("the S3 server ended: %s", &output)
		case <-patience:
			s.stop()
			return errors.New("the S3 server does not answer")
		case <-tick.C:
			if s.healthy() {
				return nil
			}
		}
	}
}

func (s *Server) healthy() bool {
	client := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + s.Address + "/health")
	if err != nil {
		return false
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode == http.StatusOK
}

// Stop kills the server. What it has is still there, but not to be reached.
func (s *Server) Stop() { s.stop() }

// Bucket makes a bucket, and returns its URL for gocloud.dev/blob.
func (s *Server) Bucket(tb testing.TB, name string) string {
	tb.Helper()
	require.NoError(tb, os.Mkdir(filepath.Join(s.root, name), 0o700))
	return s.URL(name)
}

// URL is the URL of a bucket, which need not be there.
func (s *Server) URL(name string) string {
	q := url.Values{"endpoint": {"http://" + s.Address}, "region": {"us-east-1"}, "use_path_style": {"true"}}
	return "s3://" + name + "?" + q.Encode()
}

// build returns the path of the server, which it builds if it is not there.
func build(ctx context.Context) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "foreman-s3test")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	program := filepath.Join(dir, "versitygw-"+Version)
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	// Two processes may be at it: each builds one, and the last one stays.
	temp, err := os.MkdirTemp(dir, "build")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(temp) }()
	cmd := exec.CommandContext(ctx, "go", "install", "-ldflags=-s -w", server+"@"+Version)
	cmd.Dir = temp // where no go.mod is
	cmd.Env = append(os.Environ(), "GOBIN="+temp, "GOFLAGS=", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	built, err := filepath.Glob(filepath.Join(temp, "versitygw*"))
	if err != nil || len(built) != 1 {
		return "", fmt.Errorf("go install made %q: %w", built, err)
	}
	return program, os.Rename(built[0], program)
}
