package daemon

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/rawbytes"
	"github.com/knadh/koanf/v2"
)

// given is a flag that keeps what it is given as it is.
type given struct {
	into    *koanf.Koanf
	setting setting
}

func (g given) String() string     { return "" }
func (g given) Set(v string) error { return g.into.Set(g.setting.name, v) }
func (g given) IsBoolFlag() bool   { return g.setting.kind == boolean }

// readFlags reads the arguments of the command line. It returns at which places there are
// others than flags and their values.
func readFlags(args []string, settings []setting) (l layer, others []int, version bool, err error) {
	l = layer{values: koanf.New("."), name: func(key string) string { return "-" + key }}
	fs := flag.NewFlagSet("foremand", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	for _, s := range settings {
		fs.Var(given{into: l.values, setting: s}, s.name, "")
	}
	fs.BoolVar(&version, "version", false, "")
	for at := 0; ; at++ {
		err = fs.Parse(args[at:])
		switch {
		case errors.Is(err, flag.ErrHelp):
			return l, nil, false, err
		case err != nil:
			return l, nil, false, fmt.Errorf("%w; foremand -h lists all flags", err)
		case fs.NArg() == 0:
			return l, others, version, nil
		}
		at = len(args) - fs.NArg()
		others = append(others, at)
	}
}

const variablePrefix = "FOREMAN_"

// variable is the name that a setting has in the environment.
func variable(name string) string {
	return variablePrefix + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// serviceVariable matches what Kubernetes puts into the environment of every
// container beside a Service whose name begins with foreman.
var serviceVariable = regexp.MustCompile(`^FOREMAN(_.*)?_(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT(_.*)?)$`)

// readVariables reads those of the environment that are for foremand.
func readVariables(environ []string) (layer, error) {
	l := layer{values: koanf.New("."), name: variable}
	err := l.values.Load(env.Provider("", env.Opt{
		Prefix: variablePrefix,
		TransformFunc: func(name, value string) (string, any) {
			if serviceVariable.MatchString(name) {
				return "", nil
			}
			return strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(name, variablePrefix), "_", "-")), value
		},
		EnvironFunc: func() []string { return environ },
	}), nil)
	return l, err
}

var yamlLine = regexp.MustCompile(`line \d+`)

// readFile reads the config file.
func readFile(path string) (layer, error) {
	l := layer{values: koanf.New("."), name: func(key string) string { return path + ": " + key }}
	data, err := os.ReadFile(path)
	if err != nil {
		return l, fmt.Errorf("config file: %w", err)
	}
	if err := l.values.Load(rawbytes.Provider(data), yaml.Parser()); err != nil {
		// The parser's own words may quote a secret.
		where := strings.TrimSpace(yamlLine.FindString(err.Error()) + " cannot be read")
		return l, fmt.Errorf("%s: %s as YAML; it has one setting a line, such as `slots: 2`, and each setting once", path, where)
	}
	if l.values.Exists("config") {
		return l, fmt.Errorf("%s: config: a config file cannot name another one", path)
	}
	return l, nil
}
