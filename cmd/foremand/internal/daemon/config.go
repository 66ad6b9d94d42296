package daemon

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/knadh/koanf/v2"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/webhook"
)

// config is what foremand has been told. The list of settings says what each field
// is for.
type config struct {
	addr              string
	data              string
	dataGiven         bool   // data is not just the default
	store             string // a URL; empty for data
	storeSchema       string
	storeConns        int
	storePoll         bool
	artifacts         string // a URL; empty for data
	dev               bool
	ollama            []string
	openai            []string
	openaiKey         string
	slots             int
	perSlot           int
	maxWait           time.Duration
	maxCallers        int
	maxCallerWait     time.Duration // 0 for as long as they do
	maxCallerBodies   int           // MiB
	models            map[string]foreman.Limits
	commands          map[string]program
	webhookSecret     string
	webhookOldSecrets []webhook.OldSecret
	webhookGuard      webhook.GuardOptions
	webhookProxy      *url.URL
	webhookCA         string
	webhookCert       string
	webhookKey        string
	webhookSchedule   webhook.Schedule
	webhookTimeout    time.Duration
	webhookCatchUp    string
	tokensFile        string
	jobTTL            time.Duration // negative for ever
	artifactTTL       time.Duration // negative for as long as the job
	publicURL         string
	trustForwarded    bool
	allowChanges      bool
	logFormat         string
	file              string
	version           bool   // the version was asked for, and nothing else counts
	move              string // one of moves, to be done in place of serving
	archive           string // the file that it writes or reads
}

// layer is one place that settings come from.
type layer struct {
	values *koanf.Koanf
	name   func(key string) string // what a setting is called there
}

// load makes a config of the arguments, which may begin with one of moves, of the environment in the form of
// [os.Environ], and of the file that one of these names. A flag counts before a
// variable, and a variable before the file; what is wrong anywhere is an error. The
// error is [flag.ErrHelp] if help was asked for. Otherwise it names the setting and
// where it is, and has the value of none that is secret.
func load(args, environ []string) (*config, error) {
	c := &config{models: map[string]foreman.Limits{}, commands: map[string]program{}}
	if len(args) > 0 && moves[args[0]] != nil {
		c.move, args = args[0], args[1:]
	}
	settings := c.settings(environ)
	flags, others, version, err := readFlags(args, settings)
	switch {
	case err != nil || version:
		return &config{version: version}, err
	case c.move != "" && (len(others) != 1 || args[others[0]] == ""):
		return nil, fmt.Errorf("name one file: foremand %s [flags] FILE", c.move)
	case c.move != "":
		c.archive = args[others[0]]
	case len(others) > 0: // not quoted: it may be the rest of a secret
		return nil, fmt.Errorf("argument %d is neither a flag nor the value of one; foremand -h lists all flags", others[0]+1)
	}
	for _, s := range settings {
		if err := s.set(s.standard); err != nil {
			return nil, fmt.Errorf("OLLAMA_HOST: %w", err) // no other default can be wrong
		}
	}
	variables, err := readVariables(environ)
	if err != nil {
		return nil, err
	}
	layers := []layer{variables, flags}
	if path := configFile(flags, variables); path != "" {
		file, err := readFile(path)
		if err != nil {
			return nil, err
		}
		if err := c.readSections(file); err != nil {
			return nil, err
		}
		layers = slices.Insert(layers, 0, file)
	}
	ollamaGiven := lookUp(environ, "OLLAMA_HOST") != ""
	for _, l := range layers {
		if err := l.apply(settings); err != nil {
			return nil, err
		}
		c.dataGiven = c.dataGiven || l.values.Exists("data")
		ollamaGiven = ollamaGiven || l.values.Exists("ollama")
	}
	if c.store == "" {
		for _, l := range layers {
			for _, name := range []string{"store-schema", "store-conns", "store-poll"} {
				if l.values.Exists(name) {
					return nil, fmt.Errorf("%s: it is about the database of -store, and there is none; give that too, or leave this out", l.name(name))
				}
			}
		}
	}
	if len(c.openai) > 0 && !ollamaGiven {
		c.ollama = nil // those are the servers that there are
	}
	return c, c.check()
}

// configFile is what the first layer that has a say names as the config file.
func configFile(layers ...layer) string {
	for _, l := range layers {
		if l.values.Exists("config") {
			return l.values.String("config")
		}
	}
	return ""
}

// apply sets what a layer says.
func (l layer) apply(settings []setting) error {
	var unknown []string
	for _, key := range l.values.Keys() {
		i := slices.IndexFunc(settings, func(s setting) bool { return s.name == key })
		if i < 0 {
			unknown = append(unknown, l.name(key))
			continue
		}
		text, err := settings[i].text(l.values.Get(key))
		if err == nil {
			err = settings[i].set(text)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", l.name(key), err)
		}
	}
	if len(unknown) > 0 {
		return fmt.Errorf("%s: there is no such setting; foremand -h lists them all", strings.Join(unknown, ", "))
	}
	return nil
}

// check finds settings that do not go together.
func (c *config) check() error {
	loopback := onLoopback(c.addr)
	switch {
	case c.dev && !loopback:
		return fmt.Errorf("-dev listens on loopback only, and -addr is %s; leave out one of the two", c.addr)
	case !loopback && c.tokensFile == "":
		return fmt.Errorf("-addr %s can be reached from other machines, and there are no tokens to tell who may use it; %s", c.addr, tokensHowTo())
	case c.webhookSecret == "" && len(c.webhookOldSecrets) > 0:
		return errors.New("-webhook-old-secrets has secrets, and there is none that replaces them; give that as -webhook-secret")
	case slices.ContainsFunc(c.webhookOldSecrets, func(o webhook.OldSecret) bool { return o.Secret == c.webhookSecret }):
		return errors.New("-webhook-old-secrets has the secret that -webhook-secret is, so that it would never end; give a new one there, or take it out of the old ones")
	case (c.webhookCert == "") != (c.webhookKey == ""):
		return errors.New("-webhook-cert and -webhook-key go together; give the other one too, or none")
	}
	return nil
}
