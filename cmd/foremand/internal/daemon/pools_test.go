package daemon

import (
	"log/slog"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// names are the pools of a config, in their order.
func names(t *testing.T, args, environ []string) (out []string) {
	t.Helper()
	c, err := load(args, environ)
	require.NoError(t, err)
	pools, err := c.pools(slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	for _, p := range pools {
		out = append(out, p.Name)
	}
	return out
}

func TestPools(t *testing.T) {
	for _, c := range []struct {
		args, environ, want []string
	}{
		{nil, nil, []string{"ollama"}},
		{[]string{"-ollama", "a,b"}, nil, []string{"ollama 1", "ollama 2"}},
		{[]string{"-openai", "a"}, nil, []string{"openai"}},
		{[]string{"-openai", "a,b"}, []string{"OLLAMA_HOST=c"}, []string{"ollama", "openai 1", "openai 2"}},
		{[]string{"-openai", "a", "-ollama", "b"}, nil, []string{"ollama", "openai"}},
		{[]string{"-dev"}, nil, []string{"ollama", "echo"}},
		{[]string{"-dev", "-openai", "a"}, nil, []string{"openai", "echo"}},
	} {
		require.Equal(t, c.want, names(t, c.args, c.environ), "%v", c.args)
	}
}

// A model is its command's, then the echo model's, and then the servers'.
func TestPoolsServe(t *testing.T) {
	program, err := os.Executable()
	require.NoError(t, err)
	file := inFile(t, "commands: {convert: {path: "+program+"}}\n")
	c, err := load([]string{"-dev", "-ollama", "a,b", "-config", file}, nil)
	require.NoError(t, err)
	pools, err := c.pools(slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	for model, want := range map[string][]string{
		"convert": {"command convert"}, "echo": {"echo"}, "echo:latest": {"echo"}, "llama3": {"ollama 1", "ollama 2"},
	} {
		var got []string
		for _, p := range pools {
			if p.Serves(model) {
				got = append(got, p.Name)
			}
		}
		require.Equal(t, want, got, model)
	}
	c.dev = false
	pools, err = c.pools(slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.True(t, pools[1].Serves("echo"), "without -dev it is a name as others are")
}
