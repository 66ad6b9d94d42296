package daemon

import (
	"flag"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/webhook"
)

// inFile writes a config file and returns its path.
func inFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "foreman.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestLoadDefaults(t *testing.T) {
	c, err := load(nil, nil)
	require.NoError(t, err)
	require.Equal(t, &config{
		addr: "127.0.0.1:8470", data: "foreman-data", storeSchema: "foreman", storeConns: 8, ollama: []string{"127.0.0.1:11434"},
		models: map[string]foreman.Limits{}, commands: map[string]program{},
		slots: 1, perSlot: 1, maxWait: 2 * time.Minute, maxCallers: 512, maxCallerBodies: 256,
		jobTTL: 168 * time.Hour, artifactTTL: 72 * time.Hour, logFormat: "text",
		webhookSchedule: webhook.DefaultSchedule(), webhookTimeout: 15 * time.Second, webhookCatchUp: "all",
	}, c)
}

func TestLoadEverywhere(t *testing.T) {
	want := &config{
		addr: "localhost:1", data: "d", dataGiven: true, store: "postgres://u:p@db/x", storeSchema: "jobs", storeConns: 4, storePoll: true, artifacts: "s3://bucket", dev: true, ollama: []string{"http://gpu:80/x", "other"},
		openai: []string{"http://vllm:8000/v1", "lmstudio:1234"}, openaiKey: "sk-1", maxCallers: 9, maxCallerWait: time.Minute, maxCallerBodies: 32,
		models: map[string]foreman.Limits{}, commands: map[string]program{},
		slots: 2, perSlot: 3, maxWait: 90 * time.Second, webhookSecret: "012345",
		webhookOldSecrets: []webhook.OldSecret{
			{Secret: "098765", Expires: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)},
			{Secret: "an older one"},
		},
		webhookProxy: &url.URL{Scheme: "http", User: url.UserPassword("us", "p@ss"), Host: "proxy.internal:3128"},
		webhookCA:    "ca.pem", webhookCert: "cert.pem", webhookKey: "key.pem", webhookCatchUp: "latest",
		webhookGuard: webhook.GuardOptions{
			Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")},
			Hosts:    []string{"hooks.internal", "*.corp.example"},
			Ports:    []uint16{443, 8443},
			NAT64:    []netip.Prefix{netip.MustParsePrefix("64:ff9b:1::/96")},
		},
		webhookSchedule: webhook.Schedule{time.Second, time.Minute}, webhookTimeout: 20 * time.Second,
		tokensFile: "t", jobTTL: -1, artifactTTL: time.Hour,
		publicURL: "https://jobs.example.com/x", trustForwarded: true, allowChanges: true, logFormat: "json",
	}
	flags := []string{
		"-addr", "localhost:1", "-data", "d", "-store", "postgres://u:p@db/x", "-store-schema", "jobs", "-store-conns", "4", "-store-poll", "-artifacts", "s3://bucket", "-dev", "-ollama", "http://gpu:80/x, other", "-slots", "2", "-per-slot=3", "-max-wait", "90s", "-allow-changes",
		"-openai", "http://vllm:8000/v1, lmstudio:1234", "-openai-key", "sk-1", "-max-callers", "9", "-max-caller-wait", "1m", "-max-caller-bodies", "32",
		"-webhook-secret", "012345", "-webhook-allow", "10.0.0.0/8, ::1/128",
		"-webhook-allow-hosts", "hooks.internal, *.corp.example", "-webhook-ports", "443, 8443", "-webhook-nat64", "64:ff9b:1::/96", "-tokens-file", "t",
		"-webhook-old-secrets", "098765 until 2026-12-01T00:00:00Z, an older one", "-webhook-proxy", "http://us:p%40ss@proxy.internal:3128",
		"-webhook-ca", "ca.pem", "-webhook-cert", "cert.pem", "-webhook-key", "key.pem", "-webhook-catch-up", "latest",
		"-webhook-schedule", "1s, 1m", "-webhook-timeout", "20s",
		"-job-ttl", "0", "-artifact-ttl", "1h", "-public-url", "https://jobs.example.com/x/", "-trust-forwarded", "--log-format", "json",
	}
	variables := []string{
		"FOREMAN_ADDR=localhost:1", "FOREMAN_DATA=d", "FOREMAN_STORE=postgres://u:p@db/x", "FOREMAN_STORE_SCHEMA=jobs", "FOREMAN_STORE_CONNS=4", "FOREMAN_STORE_POLL=1", "FOREMAN_ARTIFACTS=s3://bucket", "FOREMAN_DEV=true", "FOREMAN_OLLAMA=http://gpu:80/x,other", "FOREMAN_SLOTS=2", "FOREMAN_PER_SLOT=3", "FOREMAN_MAX_WAIT=90s", "FOREMAN_ALLOW_CHANGES=true",
		"FOREMAN_OPENAI=http://vllm:8000/v1,lmstudio:1234", "FOREMAN_OPENAI_KEY=sk-1", "FOREMAN_MAX_CALLERS=9", "FOREMAN_MAX_CALLER_WAIT=1m", "FOREMAN_MAX_CALLER_BODIES=32",
		"FOREMAN_WEBHOOK_SECRET=012345", "FOREMAN_WEBHOOK_ALLOW=10.0.0.0/8,::1/128",
		"FOREMAN_WEBHOOK_ALLOW_HOSTS=hooks.internal,*.corp.example", "FOREMAN_WEBHOOK_PORTS=443,8443", "FOREMAN_WEBHOOK_NAT64=64:ff9b:1::/96",
		"FOREMAN_WEBHOOK_OLD_SECRETS=098765 until 2026-12-01T00:00:00Z\nan older one\n", "FOREMAN_WEBHOOK_PROXY=http://us:p%40ss@proxy.internal:3128",
		"FOREMAN_WEBHOOK_CA=ca.pem", "FOREMAN_WEBHOOK_CERT=cert.pem", "FOREMAN_WEBHOOK_KEY=key.pem", "FOREMAN_WEBHOOK_CATCH_UP=latest",
		"FOREMAN_WEBHOOK_SCHEDULE=1s,1m", "FOREMAN_WEBHOOK_TIMEOUT=20s", "FOREMAN_TOKENS_FILE=t",
		"FOREMAN_JOB_TTL=0", "FOREMAN_ARTIFACT_TTL=1h", "FOREMAN_PUBLIC_URL=https://jobs.example.com/x", "FOREMAN_TRUST_FORWARDED=1", "FOREMAN_LOG_FORMAT=json",
	}
	const file = `
addr: localhost:1
data: d
store: postgres://u:p@db/x
store-schema: jobs
store-conns: 4
store-poll: true
artifacts: s3://bucket
dev: true
ollama: [http://gpu:80/x, other]
openai: [http://vllm:8000/v1, "lmstudio:1234"]
openai-key: sk-1
slots: 2
per-slot: 3
max-callers: 9
max-caller-wait: 1m
max-caller-bodies: 32
max-wait: 90s
allow-changes: true
webhook-secret: "012345"
webhook-allow: [10.0.0.0/8, "::1/128"]
webhook-allow-hosts: [hooks.internal, "*.corp.example"]
webhook-ports: [443, 8443]
webhook-nat64: ["64:ff9b:1::/96"]
webhook-old-secrets:
  - 098765 until 2026-12-01T00:00:00Z
  - an older one
webhook-proxy: http://us:p%40ss@proxy.internal:3128
webhook-ca: ca.pem
webhook-cert: cert.pem
webhook-key: key.pem
webhook-schedule: [1s, 1m]
webhook-timeout: 20s
webhook-catch-up: latest
tokens-file: t
job-ttl: 0
artifact-ttl: 1h
public-url: https://jobs.example.com/x
trust-forwarded: true
log-format: json
`
	t.Run("flags", func(t *testing.T) {
		c, err := load(flags, nil)
		require.NoError(t, err)
		require.Equal(t, want, c)
	})
	t.Run("variables", func(t *testing.T) {
		c, err := load(nil, variables)
		require.NoError(t, err)
		require.Equal(t, want, c)
	})
	t.Run("file", func(t *testing.T) {
		w := *want
		w.file = inFile(t, file)
		c, err := load([]string{"-config", w.file}, nil)
		require.NoError(t, err)
		require.Equal(t, &w, c)
	})
	t.Run("every setting is in this test", func(t *testing.T) {
		require.Len(t, new(config).settings(nil), len(variables)+1, "all, and config")
	})
}

// The document for operators has every setting, as it is called everywhere.
func TestSettingsAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../../../docs/foremand.md")
	require.NoError(t, err)
	for _, s := range new(config).settings(nil) {
		flag := strings.TrimSpace("-" + s.name + " " + s.value)
		require.Contains(t, string(doc), "| `"+flag+"` | `"+variable(s.name)+"` |")
	}
}

func TestLoadPrecedence(t *testing.T) {
	file := inFile(t, "slots: 2\nper-slot: 2\ndata: from-file\nollama: file:1\n")
	environ := []string{"FOREMAN_CONFIG=" + file, "FOREMAN_SLOTS=3", "FOREMAN_PER_SLOT=3", "OLLAMA_HOST=host:1", "PATH=/bin"}
	c, err := load([]string{"-slots", "4"}, environ)
	require.NoError(t, err)
	require.Equal(t, 4, c.slots, "the flag")
	require.Equal(t, 3, c.perSlot, "the variable")
	require.Equal(t, "from-file", c.data, "the file")
	require.True(t, c.dataGiven)
	require.Equal(t, []string{"file:1"}, c.ollama)

	other := inFile(t, "data: other\n")
	c, err = load([]string{"-config", other}, environ)
	require.NoError(t, err)
	require.Equal(t, "other", c.data, "of the file that the flag names")
	require.Equal(t, []string{"host:1"}, c.ollama, "the default")

	c, err = load([]string{"-config", ""}, environ)
	require.NoError(t, err)
	require.Equal(t, "foreman-data", c.data, "no file at all")

	_, err = load([]string{"-slots", "4"}, append(environ, "FOREMAN_SLOTS=none"))
	require.ErrorContains(t, err, "FOREMAN_SLOTS", "a wrong value is wrong though another counts")
}

// The bounds of what -webhook-schedule and -webhook-timeout accept are in it.
func TestLoadWebhookBounds(t *testing.T) {
	c, err := load([]string{"-webhook-schedule", strings.Repeat("1ns,", 19) + "24h", "-webhook-timeout", "1s"}, nil)
	require.NoError(t, err)
	require.Len(t, c.webhookSchedule, 20)
	require.Equal(t, 24*time.Hour, c.webhookSchedule[19])
	require.Equal(t, time.Second, c.webhookTimeout)

	c, err = load([]string{"-webhook-schedule", "1h", "-webhook-timeout", "2m"}, nil)
	require.NoError(t, err)
	require.Equal(t, webhook.Schedule{time.Hour}, c.webhookSchedule)
	require.Equal(t, 2*time.Minute, c.webhookTimeout)
}

func TestLoadErrors(t *testing.T) {
	tests := []struct {
		name    string
		args    []string
		environ []string
		file    string
		want    string // what the error has in it
	}{
		{name: "unknown flag", args: []string{"-slot", "1"}, want: "-slot"},
		{name: "flag without value", args: []string{"-slots"}, want: "-slots"},
		{name: "word that is no flag", args: []string{"-webhook-secret", "one", "two"}, want: "argument 3 is neither"},
		{name: "boolean flag with a word", args: []string{"-dev", "true"}, want: "argument 2 is neither"},
		{name: "unknown variables", environ: []string{"FOREMAN_SLOT=1", "FOREMAN_X_Y=2"}, want: "FOREMAN_SLOT, FOREMAN_X_Y: there is no such setting"},
		{name: "version is a flag only", environ: []string{"FOREMAN_VERSION=1"}, want: "FOREMAN_VERSION"},
		{name: "unknown keys", file: "slot: 1\nmodel: {a: 1}\n", want: "model.a"},
		{name: "file in a file", file: "config: x\n", want: "config: a config file cannot name another"},
		{name: "no file", args: []string{"-config", "/nowhere/at/all"}, want: "/nowhere/at/all"},
		{name: "not YAML", file: "slots: 1\n  : hush-hush\n", want: "line "},
		{name: "not a mapping", file: "hush-hush", want: "cannot be read as YAML"},
		{name: "a setting twice", file: "slots: 1\nslots: 2\n", want: "line 2 cannot be read"},
		{name: "secret that is a number", file: "webhook-secret: 0123456\n", want: "webhook-secret: must be text"},
		{name: "no value", file: "webhook-secret:\n", want: "webhook-secret: has no value"},
		{name: "mapping for a value", file: "slots: {}\n", want: "slots: must be a whole number"},
		{name: "fraction", file: "slots: 1.5\n", want: "slots: must be a whole number"},
		{name: "list with a number", file: "webhook-allow: [1]\n", want: "webhook-allow: must be a list of texts"},
		{name: "slots", args: []string{"-slots", "0"}, want: `-slots: must be a whole number from 1 to 256, and is "0"`},
		{name: "per-slot", environ: []string{"FOREMAN_PER_SLOT="}, want: `FOREMAN_PER_SLOT: must be a whole number from 1 to 1024, and is ""`},
		{name: "data", args: []string{"-data", ""}, want: "-data: must name a directory"},
		{name: "dev", args: []string{"-dev=perhaps"}, want: "-dev: must be true or false"},
		{name: "addr without port", args: []string{"-addr", "127.0.0.1"}, want: "-addr: must be HOST:PORT"},
		{name: "addr with a wrong port", args: []string{"-addr", "127.0.0.1:70000"}, want: "-addr: must be HOST:PORT"},
		{name: "job-ttl", args: []string{"-job-ttl", "168"}, want: "-job-ttl: must be a duration"},
		{name: "job-ttl below 0", args: []string{"-job-ttl", "-1h"}, want: "-job-ttl: must be a duration"},
		{name: "log-format", args: []string{"-log-format", "xml"}, want: "-log-format: must be text or json"},
		{name: "webhook-allow", args: []string{"-webhook-allow", "10.0.0.1"}, want: "-webhook-allow: must be ranges"},
		{name: "webhook-allow-hosts", args: []string{"-webhook-allow-hosts", "a.example,https://b.example"}, want: "-webhook-allow-hosts: must be hosts"},
		{name: "webhook-allow-hosts with an empty one", args: []string{"-webhook-allow-hosts", "a.example,"}, want: "-webhook-allow-hosts: must be hosts"},
		{name: "webhook-ports", args: []string{"-webhook-ports", "443,https"}, want: `-webhook-ports: must be ports such as 443,8443, and has "https"`},
		{name: "webhook-ports of 0", environ: []string{"FOREMAN_WEBHOOK_PORTS=0"}, want: "FOREMAN_WEBHOOK_PORTS: must be ports"},
		{name: "webhook-ports that are text", file: "webhook-ports: [https]\n", want: "webhook-ports: must be a list of whole numbers"},
		{name: "webhook-nat64", args: []string{"-webhook-nat64", "64:ff9b::/33"}, want: "-webhook-nat64: must be IPv6 prefixes"},
		{name: "webhook-nat64 that is none", args: []string{"-webhook-nat64", "64:ff9b::"}, want: "-webhook-nat64: must be IPv6 prefixes"},
		{name: "public-url", args: []string{"-public-url", "jobs.example.com"}, want: "-public-url: must be an http or https URL"},
		{name: "public-url with a password", args: []string{"-public-url", "https://a:hush-hush@b"}, want: "-public-url: must be"},
		{name: "ollama", args: []string{"-ollama", "ftp://gpu"}, want: "-ollama: "},
		{name: "openai", args: []string{"-openai", "http://gpu:8000,http://u:hush@gpu"}, want: "-openai: ollama: the URL of the model server must not have a user name"},
		{name: "max-callers", args: []string{"-max-callers", "0"}, want: "-max-callers: must be a whole number from 1 to"},
		{name: "max-caller-wait", args: []string{"-max-caller-wait", "-1s"}, want: `-max-caller-wait: must be a duration such as 30s, or 0 for no limit, and is "-1s"`},
		{name: "max-caller-bodies", args: []string{"-max-caller-bodies", "64MiB"}, want: "-max-caller-bodies: must be a whole number"},
		{name: "OLLAMA_HOST", environ: []string{"OLLAMA_HOST=ftp://hush-hush"}, want: "OLLAMA_HOST: "},
		{name: "webhook-secret", args: []string{"-webhook-secret", "whsec_hush-hush"}, want: "-webhook-secret: "},
		{name: "webhook-old-secrets", args: []string{"-webhook-old-secrets", "a,whsec_hush-hush"}, want: "-webhook-old-secrets: webhook: old secret 2 starts with whsec_"},
		{name: "webhook-old-secrets with an empty one", args: []string{"-webhook-old-secrets", "hush,,hush"}, want: "-webhook-old-secrets: entry 2 is empty"},
		{name: "webhook-old-secrets with an end alone", args: []string{"-webhook-old-secrets", "until 2026-12-01T00:00:00Z"}, want: "entry 1 is empty"},
		{name: "webhook-old-secrets until a day", environ: []string{"FOREMAN_WEBHOOK_OLD_SECRETS=hush until 2026-12-01"}, want: "FOREMAN_WEBHOOK_OLD_SECRETS: entry 1 must have a time such as 2026-12-01T00:00:00Z after until"},
		{name: "webhook-old-secrets until nothing", args: []string{"-webhook-old-secrets", "hush until"}, want: "entry 1 must have a time"},
		{name: "webhook-old-secrets until year 1", args: []string{"-webhook-old-secrets", "hush until 0001-01-01T00:00:00Z"}, want: "entry 1 must have a time"},
		{name: "webhook-old-secrets until a word", args: []string{"-webhook-old-secrets", "hush until hush"}, want: "entry 1 must have a time"},
		{name: "webhook-old-secrets, too many", args: []string{"-webhook-old-secrets", strings.Repeat("hush,", 10) + "hush"}, want: "11 old secrets are too many"},
		{name: "webhook-old-secrets that are a number", file: "webhook-old-secrets: [0123456]\n", want: "webhook-old-secrets: must be a list of secrets"},
		{name: "webhook-old-secrets without a new one", args: []string{"-webhook-old-secrets", "hush"}, want: "give that as -webhook-secret"},
		{name: "webhook-old-secrets with the new one", args: []string{"-webhook-secret", "hush", "-webhook-old-secrets", "hush until 2026-12-01T00:00:00Z"}, want: "-webhook-old-secrets has the secret that -webhook-secret is"},
		{name: "webhook-proxy", args: []string{"-webhook-proxy", "hush:hush@proxy:3128"}, want: "-webhook-proxy: must be an http or https URL"},
		{name: "webhook-proxy of another kind", args: []string{"-webhook-proxy", "socks5://u:hush@proxy:1080"}, want: "-webhook-proxy: must be"},
		{name: "webhook-proxy with a password that is not quoted", environ: []string{"FOREMAN_WEBHOOK_PROXY=http://u:hu%sh@proxy"}, want: "FOREMAN_WEBHOOK_PROXY: must be"},
		{name: "webhook-proxy without a host", args: []string{"-webhook-proxy", "http://u:hush@:3128"}, want: "-webhook-proxy: must be"},
		{name: "webhook-proxy with a wrong port", args: []string{"-webhook-proxy", "http://u:hush@proxy:70000"}, want: "-webhook-proxy: must be"},
		{name: "webhook-proxy with a path", args: []string{"-webhook-proxy", "http://u:hush@proxy/path"}, want: "-webhook-proxy: must be"},
		{name: "webhook-cert alone", args: []string{"-webhook-cert", "c"}, want: "-webhook-cert and -webhook-key go together"},
		{name: "webhook-key alone", environ: []string{"FOREMAN_WEBHOOK_KEY=k"}, want: "-webhook-cert and -webhook-key go together"},
		{name: "webhook-catch-up", args: []string{"-webhook-catch-up", "newest"}, want: `-webhook-catch-up: must be all or latest, and is "newest"`},
		{name: "webhook-schedule without gaps", args: []string{"-webhook-schedule", ""}, want: "-webhook-schedule: must have from 1 to 20 durations"},
		{name: "webhook-schedule with a word", args: []string{"-webhook-schedule", "5s,soon"}, want: `-webhook-schedule: must have durations above 0 and up to 24h, such as 5s,5m,30m, and has "soon"`},
		{name: "webhook-schedule with no gap at all", args: []string{"-webhook-schedule", "5s,0s"}, want: `has "0s"`},
		{name: "webhook-schedule that goes back", args: []string{"-webhook-schedule", "5s,-5s"}, want: `has "-5s"`},
		{name: "webhook-schedule with an empty one", args: []string{"-webhook-schedule", "5s,"}, want: `has ""`},
		{name: "webhook-schedule of an empty list", file: "webhook-schedule: []\n", want: "webhook-schedule: must have from 1 to 20 durations"},
		{name: "webhook-schedule of numbers", file: "webhook-schedule: [5, 300]\n", want: "webhook-schedule: must be a list of texts"},
		{name: "webhook-schedule with a gap of days", args: []string{"-webhook-schedule", "5s,25h"}, want: `has "25h"`},
		{name: "webhook-schedule that is long", args: []string{"-webhook-schedule", strings.Repeat("1s,", 20) + "1s"}, want: "from 1 to 20"},
		{name: "webhook-timeout", args: []string{"-webhook-timeout", "10ms"}, want: `-webhook-timeout: must be a duration from 1s to 2m, such as 15s, and is "10ms"`},
		{name: "webhook-timeout of minutes", args: []string{"-webhook-timeout", "2m1s"}, want: `is "2m1s"`},
		{name: "webhook-timeout without a unit", environ: []string{"FOREMAN_WEBHOOK_TIMEOUT=15"}, want: "FOREMAN_WEBHOOK_TIMEOUT: must be a duration"},
		{name: "store of another kind", args: []string{"-store", "mysql://u:hush@db/x"}, want: "-store: must be the URL of a PostgreSQL database"},
		{name: "store-schema without a store", environ: []string{"FOREMAN_STORE_SCHEMA=x"}, want: "FOREMAN_STORE_SCHEMA: it is about the database of -store, and there is none"},
		{name: "store-conns without a store", file: "store-conns: 4\n", want: "store-conns: it is about"},
		{name: "store-poll without a store", args: []string{"-store", "", "-store-poll"}, want: "-store-poll: it is about"},
		{name: "store-conns of one", args: []string{"-store", "postgres://db/x", "-store-conns", "1"}, want: `-store-conns: must be a whole number from 2 to 10000, and is "1"`},
		{name: "dev off loopback", args: []string{"-dev", "-addr", "0.0.0.0:8470", "-tokens-file", "t"}, want: "-dev listens on loopback only"},
		{name: "off loopback", args: []string{"-addr", ":8470"}, want: "-tokens-file"},
		{name: "off loopback by name", args: []string{"-addr", "gpu.example.com:8470"}, want: "-tokens-file"},
		{name: "off loopback in IPv6", args: []string{"-addr", "[::]:8470"}, want: "-tokens-file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.file != "" {
				tt.environ = append(tt.environ, "FOREMAN_CONFIG="+inFile(t, tt.file))
			}
			_, err := load(tt.args, tt.environ)
			require.ErrorContains(t, err, tt.want)
			require.NotContains(t, err.Error(), "hush", "no secret")
			require.NotContains(t, err.Error(), "0123456", "no secret")
		})
	}
}

// What is between old secrets can be in them, and what comes before the last until.
func TestLoadOldSecrets(t *testing.T) {
	end := time.Date(2026, 12, 1, 0, 0, 0, 0, time.FixedZone("", 3600))
	tests := []struct {
		name, value, file string
		want              []webhook.OldSecret
	}{
		{name: "commas between", value: "a b, c ", want: []webhook.OldSecret{{Secret: "a b"}, {Secret: "c"}}},
		{name: "lines", value: "a,b\nc until 2026-12-01T00:00:00+01:00", want: []webhook.OldSecret{{Secret: "a,b"}, {Secret: "c", Expires: end}}},
		{name: "one line", value: "a,b\n", want: []webhook.OldSecret{{Secret: "a,b"}}},
		{name: "until in a secret", value: "wait until dawn until  2026-12-01T00:00:00+01:00,until2", want: []webhook.OldSecret{{Secret: "wait until dawn", Expires: end}, {Secret: "until2"}}},
		{name: "list in a file", file: `["a,b"]`, want: []webhook.OldSecret{{Secret: "a,b"}}},
		{name: "empty list in a file", file: `[]`},
		{name: "text in a file", file: `a,b`, want: []webhook.OldSecret{{Secret: "a"}, {Secret: "b"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			args := []string{"-webhook-secret", "new", "-webhook-old-secrets", tt.value}
			if tt.file != "" {
				args = []string{"-webhook-secret", "new", "-config", inFile(t, "webhook-old-secrets: "+tt.file+"\n")}
			}
			c, err := load(args, nil)
			require.NoError(t, err)
			require.Len(t, c.webhookOldSecrets, len(tt.want))
			for i, o := range c.webhookOldSecrets {
				require.Equal(t, tt.want[i].Secret, o.Secret)
				require.True(t, tt.want[i].Expires.Equal(o.Expires), o.Expires)
			}
		})
	}
}

func TestLoadHelp(t *testing.T) {
	for _, arg := range []string{"-h", "--help"} {
		_, err := load([]string{arg}, nil)
		require.ErrorIs(t, err, flag.ErrHelp)
	}
}

func TestLoadAccepts(t *testing.T) {
	for _, args := range [][]string{
		{"-addr", "127.8.9.10:0"},
		{"-addr", "[::1]:8470"},
		{"-addr", "LOCALHOST:8470"},
		{"-addr", "0.0.0.0:8470", "-tokens-file", "t"},
		{"-webhook-secret", "whsec_aGVsbG8="},
		{"-webhook-secret", ""},
		{"-webhook-allow", "", "-webhook-allow-hosts", "", "-webhook-ports", "", "-webhook-nat64", ""},
		{"-webhook-old-secrets", "", "-webhook-proxy", "", "-webhook-ca", "", "-webhook-cert", "", "-webhook-key", ""},
		{"-webhook-proxy", "https://[::1]/"},
		{"-config", inFile(t, "webhook-ports: 443\nwebhook-allow-hosts: hooks.internal\n")},
	} {
		_, err := load(args, nil)
		require.NoError(t, err, args)
	}
}

// The version is told whatever else is wrong.
func TestLoadVersion(t *testing.T) {
	c, err := load([]string{"-addr", ":1", "-version"}, []string{"FOREMAN_X=1", "OLLAMA_HOST=ftp://gpu"})
	require.NoError(t, err)
	require.Equal(t, &config{version: true}, c)
}

// In Kubernetes the environment tells of Services, of which one may be called foreman.
func TestLoadBesideAService(t *testing.T) {
	_, err := load(nil, []string{
		"FOREMAN_SERVICE_HOST=10.0.0.1", "FOREMAN_SERVICE_PORT=8470", "FOREMAN_SERVICE_PORT_HTTP=8470",
		"FOREMAN_PORT=tcp://10.0.0.1:8470", "FOREMAN_PORT_8470_TCP_ADDR=10.0.0.1", "FOREMAN_GPU_SERVICE_HOST=10.0.0.2",
	})
	require.NoError(t, err)
}

func TestSections(t *testing.T) {
	program, err := os.Executable()
	require.NoError(t, err)
	c, err := load([]string{"-config", inFile(t, `
slots: 2
models:
  "qwen2.5:7b": {per-slot: 4, max-wait: 30s}
  big: {slots: 1}
commands:
  convert:
    path: `+program+`
    args: ["-i", "{{.Input.file}}"]
    result: true
    timeout: 1m
    final-exits: [2, 3]
    per-slot: 2
`)}, nil)
	require.NoError(t, err)
	require.Equal(t, map[string]foreman.Limits{"qwen2.5:7b": {PerSlot: 4, MaxWait: 30 * time.Second}, "big": {Slots: 1}}, c.models)
	p := c.commands["convert"]
	require.Equal(t, []string{"-i", "{{.Input.file}}"}, p.options.Args)
	require.Equal(t, []int{2, 3}, p.options.FinalExits)
	require.Equal(t, time.Minute, p.options.Timeout)
	require.Equal(t, 2, p.perSlot)
	require.Equal(t, 2, c.slots)

	for text, want := range map[string]string{
		"models: 3":                        "models: must have an entry for each model",
		"models: {a: 3}":                   "models: a: must have settings below it: max-wait, per-slot, slots",
		"models: {a: {slot: 3}}":           "models: a: slot is no setting of it: there are max-wait, per-slot, slots",
		"models: {a: {slots: x}}":          "models: a: slots: must be a whole number from 1 to 256",
		"models: {a: {max-wait: 3}}":       "models: a: max-wait: must be a duration such as 90s",
		"commands: {a: {args: [b]}}":       "commands: a: command: no program",
		"commands: {a: {path: [b]}}":       "commands: a: path: must be a text",
		"commands: {a: {args: [3]}}":       "commands: a: args: must be a list of texts",
		"commands: {a: {result: 3}}":       "commands: a: result: must be true or false",
		"commands: {a: {final-exits: x}}":  "commands: a: final-exits: must be a list of whole numbers",
		"commands: {a: {path: /no/there}}": "commands: a: command: ",
	} {
		_, err := load([]string{"-config", inFile(t, text)}, nil)
		require.ErrorContains(t, err, want, text)
	}
}
