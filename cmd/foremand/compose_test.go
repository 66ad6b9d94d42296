package main

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/rawbytes"
	"github.com/knadh/koanf/v2"
	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/internal/ollamatest"
	"github.com/foreman-go/foreman/internal/pgtest"
	"github.com/foreman-go/foreman/internal/s3test"
)

// composition is what compose.yaml says, with a .env as docs/several.md has it.
type composition struct {
	*koanf.Koanf
	env map[string]string
}

var (
	composeVariable = regexp.MustCompile(`\$\{(\w+)(?::([?-])([^}]*))?\}`)
	envFile         = regexp.MustCompile("(?s)```ini\n(.*?)```")
	pinned          = regexp.MustCompile(`^[a-z0-9./-]+:v?\d+[a-z0-9.-]*$`)
)

func compose(t *testing.T) composition {
	t.Helper()
	page, err := os.ReadFile("../../docs/several.md")
	require.NoError(t, err)
	c := composition{koanf.New("/"), map[string]string{}}
	block := envFile.FindSubmatch(page)
	require.NotNil(t, block, "docs/several.md has a .env")
	for line := range strings.Lines(string(block[1])) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		require.True(t, ok, line)
		c.env[name] = strings.Trim(value, `"`)
	}
	text, err := os.ReadFile("../../compose.yaml")
	require.NoError(t, err)
	require.NoError(t, c.Load(rawbytes.Provider(text), yaml.Parser()))
	return c
}

// value is a text of compose.yaml with its variables put in.
func (c composition) value(t *testing.T, key string) string {
	return composeVariable.ReplaceAllStringFunc(c.String(key), func(v string) string {
		m := composeVariable.FindStringSubmatch(v)
		value, ok := c.env[m[1]]
		if !ok {
			require.Equal(t, "-", m[2], "%s: %s has no default, and is not in the .env of docs/several.md", key, v)
			return m[3]
		}
		return value
	})
}

// variables are the environment of a service.
func (c composition) variables(t *testing.T, service string) map[string]string {
	all := map[string]string{}
	for _, name := range c.MapKeys("services/" + service + "/environment") {
		all[name] = c.value(t, "services/"+service+"/environment/"+name)
	}
	return all
}

// Whatever compose.yaml names is there: settings, services, volumes, secrets, and images
// by a version.
func TestComposeNamesWhatThereIs(t *testing.T) {
	c := compose(t)
	help, _, _ := foremand(t, "-h")
	built := 0
	for _, s := range c.MapKeys("services") {
		at := "services/" + s + "/"
		if c.Exists(at + "build") {
			built++
			require.Equal(t, []string{"tokens"}, c.MapKeys("secrets"))
		} else {
			require.Regexp(t, pinned, c.String(at+"image"))
		}
		for name := range c.variables(t, s) {
			if strings.HasPrefix(name, "FOREMAN_") {
				require.Contains(t, help, "  "+name+" ", "%s: there is no such setting", s)
			}
		}
		for _, other := range append(c.MapKeys(at+"depends_on"), c.Strings(at+"depends_on")...) {
			require.Contains(t, c.MapKeys("services"), other)
		}
		for _, v := range c.Strings(at + "volumes") {
			name, _, _ := strings.Cut(v, ":")
			require.Contains(t, c.MapKeys("volumes"), name)
		}
	}
	require.Equal(t, 2, built)
	grace, err := time.ParseDuration(c.String("x-foremand/stop_grace_period"))
	require.NoError(t, err)
	require.Greater(t, grace, 40*time.Second, "longer than a drain takes")
	require.Contains(t, c.String("services/s3/image"), ":"+s3test.Version, "the server that the tests have")
	command := strings.Join(c.Strings("services/s3/command"), " ")
	require.Contains(t, command, strings.Join(s3test.Arguments("/metadata", "/buckets"), " "), "and started as there")
	mod, err := os.ReadFile("../../go.mod")
	require.NoError(t, err)
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(mod)
	image, err := os.ReadFile("../../Dockerfile")
	require.NoError(t, err)
	require.Contains(t, string(image), "FROM golang:"+string(version[1])+" ")
}

// The two foremands of compose.yaml run with the environment that they have there, but
// for where its servers and files are: one takes a job, and the other gives the answer.
func TestComposeRuns(t *testing.T) {
	db, s3, models := pgtest.Start(t), s3test.Start(t), ollamatest.New(t, nil)
	s3.Bucket(t, "foreman")
	conn, err := pgx.Connect(t.Context(), db.URL)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), "CREATE DATABASE foreman")
	require.NoError(t, err)
	require.NoError(t, conn.Close(t.Context()))
	dbAddress := regexp.MustCompile(`@([^/]+)/`).FindStringSubmatch(db.URL)[1]

	c := compose(t)
	tokens := filepath.Join(t.TempDir(), "tokens")
	require.NoError(t, os.WriteFile(tokens, []byte(c.env[c.String("secrets/tokens/environment")]), 0o600))
	words := strings.Fields(c.env["TOKENS"])
	auth := "Authorization: Bearer " + words[1]
	var all []*process
	for _, service := range []string{"one", "two"} {
		var environ []string
		for name, value := range c.variables(t, service) {
			switch name {
			case "FOREMAN_STORE":
				require.Contains(t, value, "@postgres:5432/foreman?")
				value = strings.Replace(value, "@postgres:5432/", "@"+dbAddress+"/", 1)
			case "FOREMAN_ARTIFACTS":
				require.Contains(t, value, "endpoint=http://s3:7070&")
				value = strings.Replace(value, "s3:7070", s3.Address, 1)
			case "FOREMAN_OLLAMA":
				require.Equal(t, "http://host.docker.internal:11434", value)
				value = models.URL()
			case "FOREMAN_TOKENS_FILE":
				require.Equal(t, "/run/secrets/"+c.MapKeys("secrets")[0], value)
				value = tokens
			case "AWS_ACCESS_KEY_ID":
				require.Equal(t, c.value(t, "services/s3/environment/ROOT_ACCESS_KEY"), value)
				value = os.Getenv(name)
			case "AWS_SECRET_ACCESS_KEY":
				require.Equal(t, c.value(t, "services/s3/environment/ROOT_SECRET_KEY"), value)
				value = os.Getenv(name)
			}
			environ = append(environ, name+"="+value)
		}
		all = append(all, startIn(t, environ)) // whose flag for the address counts before the variable
	}
	one, two := all[0], all[1]
	require.Equal(t, http.StatusUnauthorized, post(t, one.url+"/jobs", `{"model":"llama3","prompt":"hello"}`).status)
	a := post(t, one.url+"/jobs", `{"model":"llama3","prompt":"hello"}`, auth)
	require.Equal(t, http.StatusAccepted, a.status, string(a.body))
	id := a.job(t).ID
	require.Equal(t, "done", get(t, two.url+"/jobs/"+id, auth, "Prefer: wait=20").job(t).State)
	require.Equal(t, http.StatusOK, get(t, two.url+"/jobs/"+id+"/artifacts/completion", auth).status)
	for _, p := range all {
		require.Equal(t, http.StatusOK, get(t, p.url+"/readyz").status)
		require.NotContains(t, p.stderr.String(), "artifacts are in the data directory")
	}
}
