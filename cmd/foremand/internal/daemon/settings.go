package daemon

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// kind is what the value of a setting is in a config file.
type kind string

const (
	text    kind = "text"
	number  kind = "a whole number"
	boolean kind = "true or false"
	list    kind = "a list of texts"
	numbers kind = "a list of whole numbers"
	secrets kind = "a list of secrets"
	span    kind = "a duration such as 72h, or 0"
)

// setting is one thing that foremand can be told: as the flag -name, as the variable
// FOREMAN_NAME, or as the line name: in the config file.
type setting struct {
	name     string
	kind     kind
	value    string // stands for the value in the help; "" for booleans
	standard string // the default, as it would be given
	help     string
	set      func(string) error
}

// settings are all there are. Each sets a field of c.
func (c *config) settings(environ []string) []setting {
	return []setting{
		{"addr", text, "HOST:PORT", "127.0.0.1:8470", "where to listen; off loopback only with tokens", toAddr(&c.addr)},
		{"data", text, "DIR", "foreman-data", "where jobs and artifacts are kept", toDir(&c.data)},
		{"store", text, "URL", "", "keeps jobs in PostgreSQL, such as postgres://user@host/db, for many foremands, instead of in -data; better in a variable or the file if it has a password", toStore(&c.store)},
		{"store-schema", text, "NAME", "foreman", "the schema there that has the tables", toText(&c.storeSchema)},
		{"store-conns", number, "N", "8", "connections there at most, beside one that listens", toNumber(&c.storeConns, 2, 10_000)},
		{"store-poll", boolean, "", "false", "use nothing there that lasts longer than a transaction: for PgBouncer in transaction mode", toBool(&c.storePoll)},
		{"artifacts", text, "URL", "", "keeps artifacts in a bucket, such as s3://bucket?region=eu-central-1, gs://, azblob:// or file:///mnt/shared, instead of in -data", toText(&c.artifacts)},
		{"dev", boolean, "", "false", "try it out: an echo model, a webhook receiver, a new data directory", toBool(&c.dev)},
		{"ollama", list, "URLS", cmp.Or(lookUp(environ, "OLLAMA_HOST"), "127.0.0.1:11434"), "the Ollama server that runs the jobs, or several, each with slots of its own; $OLLAMA_HOST if it is set", toOllama(&c.ollama)},
		{"openai", list, "URLS", "", "servers of OpenAI's API: vLLM, llama.cpp, LM Studio; with -ollama beside those of Ollama, else instead", toOpenAI(&c.openai)},
		{"openai-key", text, "KEY", "", "shown to those servers; better in a variable or the file than in a flag", toText(&c.openaiKey)},
		{"slots", number, "N", "1", "models that are loaded at once", toNumber(&c.slots, 1, 256)},
		{"per-slot", number, "N", "1", "jobs at once on a loaded model", toNumber(&c.perSlot, 1, 1024)},
		{"max-wait", text, "DURATION", "2m", "how long a model waits for a slot that keeps serving another one", toWait(&c.maxWait)},
		{"max-callers", number, "N", "512", "callers that wait for their turn at once; more get 503", toNumber(&c.maxCallers, 1, 1<<20)},
		{"max-caller-wait", span, "DURATION", "0", "how long each waits for its turn, and then gets 503; 0 for as long as it likes", toLimit(&c.maxCallerWait)},
		{"max-caller-bodies", number, "MIB", "256", "memory that the bodies of all their requests take at once; more get 503", toNumber(&c.maxCallerBodies, 1, 1<<20)},
		{"allow-changes", boolean, "", "false", "pass on calls that change the Ollama server, such as /api/pull, to the first", toBool(&c.allowChanges)},
		{"webhook-secret", text, "SECRET", "", "signs webhooks; better in a variable or the file than in a flag", toSecret(&c.webhookSecret)},
		{"webhook-old-secrets", secrets, "SECRETS", "", "those that it replaces and that still sign: `SECRET until 2026-12-01T00:00:00Z` for each", toOldSecrets(&c.webhookOldSecrets)},
		{"webhook-allow", list, "CIDRS", "", "addresses beside public ones that webhooks may go to, such as 10.0.0.0/8,::1/128", toPrefixes(&c.webhookGuard.Prefixes)},
		{"webhook-allow-hosts", list, "HOSTS", "", "hosts that webhooks may go to wherever they are, such as hooks.internal,*.corp.example", toHosts(&c.webhookGuard.Hosts)},
		{"webhook-ports", numbers, "PORTS", "", "the only ports that webhooks may go to; 80, 443 and from 1024 up without it", toPorts(&c.webhookGuard.Ports)},
		{"webhook-nat64", list, "CIDRS", "", "NAT64 prefixes of the network; the IPv4 address inside is checked too", toNAT64(&c.webhookGuard.NAT64)},
		{"webhook-proxy", text, "URL", "", "sends webhooks through a proxy such as http://proxy.internal:3128, with user:password@ if it asks", toProxy(&c.webhookProxy)},
		{"webhook-ca", text, "FILE", "", "PEM: whom receivers have to be certified by, instead of by those of the system", toText(&c.webhookCA)},
		{"webhook-cert", text, "FILE", "", "PEM: the certificate for receivers that ask for one", toText(&c.webhookCert)},
		{"webhook-key", text, "FILE", "", "PEM: the private key of webhook-cert", toText(&c.webhookKey)},
		{"webhook-schedule", list, "DURATIONS", "5s,5m,30m,2h,5h", "the gaps between attempts at a webhook, each 20 % more or less", toSchedule(&c.webhookSchedule)},
		{"webhook-timeout", text, "DURATION", "15s", "how long one attempt may take, from 1s to 2m", toTimeout(&c.webhookTimeout)},
		{"webhook-catch-up", text, "WHICH", "all", "which overdue events of a job are sent: all, or the latest with those of ends", toOneOf(&c.webhookCatchUp, "all", "latest")},
		{"tokens-file", text, "FILE", "", "who may use it: a line `name token` for each, and `name token admin`", toText(&c.tokensFile)},
		{"job-ttl", span, "DURATION", "168h", "how long a job is kept once it has ended; 0 for ever", toTTL(&c.jobTTL)},
		{"artifact-ttl", span, "DURATION", "72h", "how long its artifacts are; 0 for as long as the job", toTTL(&c.artifactTTL)},
		{"public-url", text, "URL", "", "stands before the links in webhooks, such as https://jobs.example.com", toURL(&c.publicURL)},
		{"trust-forwarded", boolean, "", "false", "believe X-Forwarded-* headers; only behind a proxy that sets them", toBool(&c.trustForwarded)},
		{"log-format", text, "FORMAT", "text", "text or json, on standard error", toOneOf(&c.logFormat, "text", "json")},
		{"config", text, "FILE", "", "YAML with these settings: a line such as `slots: 2` for each", toText(&c.file)},
	}
}

// text is a value in the form that it has as a flag.
func (s *setting) text(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case nil:
		return "", errors.New("has no value; leave out the line for the default")
	case bool:
		if s.kind == boolean {
			return strconv.FormatBool(v), nil
		}
	case int:
		if s.kind == number || s.kind == numbers || s.kind == span {
			return strconv.Itoa(v), nil
		}
	case []any:
		texts, ok := allOf[string](v)
		switch {
		case ok && s.kind == list:
			return strings.Join(texts, ","), nil
		case ok && s.kind == secrets: // which may have commas in them
			var lines strings.Builder
			for _, t := range texts {
				lines.WriteString(t + "\n")
			}
			return lines.String(), nil
		}
		if texts, ok := allOf[int](v); ok && s.kind == numbers {
			return strings.Join(texts, ","), nil
		}
	}
	return "", fmt.Errorf("must be %s; what looks like something else in YAML needs quotes", s.kind)
}

// allOf returns values as text if all are of type T.
func allOf[T any](values []any) (texts []string, ok bool) {
	for _, v := range values {
		if _, ok := v.(T); !ok {
			return nil, false
		}
		texts = append(texts, fmt.Sprint(v))
	}
	return texts, true
}

// lookUp is the value of a variable, and "" without it.
func lookUp(environ []string, name string) string {
	for _, v := range slices.Backward(environ) {
		if value, ok := strings.CutPrefix(v, name+"="); ok {
			return value
		}
	}
	return ""
}
