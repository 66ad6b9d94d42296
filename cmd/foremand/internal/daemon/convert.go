package daemon

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/foreman-go/foreman/ollama"
	"github.com/foreman-go/foreman/webhook"
)

// Each of these gives a setter that reads a value into a field, and whose error says
// what it must be. Only values that are no secret are quoted.

func toText(to *string) func(string) error {
	return func(v string) error {
		*to = v
		return nil
	}
}

// toStore accepts the URL of a PostgreSQL database, which may have a password in it.
func toStore(to *string) func(string) error {
	return func(v string) error {
		if v != "" && !strings.HasPrefix(v, "postgres://") && !strings.HasPrefix(v, "postgresql://") {
			return errors.New("must be the URL of a PostgreSQL database, such as postgres://user@host/db?sslmode=verify-full")
		}
		*to = v
		return nil
	}
}

func toDir(to *string) func(string) error {
	return func(v string) error {
		if v == "" {
			return errors.New("must name a directory; leave it out for the default")
		}
		*to = v
		return nil
	}
}

func toBool(to *bool) func(string) error {
	return func(v string) (err error) {
		if *to, err = strconv.ParseBool(v); err != nil {
			return fmt.Errorf("must be true or false, and is %q", v)
		}
		return nil
	}
}

func toNumber(to *int, least, most int) func(string) error {
	return func(v string) (err error) {
		*to, err = strconv.Atoi(v)
		if err != nil || *to < least || *to > most {
			return fmt.Errorf("must be a whole number from %d to %d, and is %q", least, most, v)
		}
		return nil
	}
}

func toOneOf(to *string, words ...string) func(string) error {
	return func(v string) error {
		if !slices.Contains(words, v) {
			return fmt.Errorf("must be %s, and is %q", strings.Join(words, " or "), v)
		}
		*to = v
		return nil
	}
}

// toTTL makes 0 what [foreman.Options] have for ever.
func toTTL(to *time.Duration) func(string) error {
	return func(v string) error {
		d, err := time.ParseDuration(v)
		if err != nil || d < 0 {
			return fmt.Errorf("must be a duration such as 72h, or 0 for ever, and is %q", v)
		}
		if *to = d; d == 0 {
			*to = -1
		}
		return nil
	}
}

// toOllama accepts what OLLAMA_HOST can be, once or more.
func toOllama(to *[]string) func(string) error {
	return func(v string) error {
		*to = parts(v)
		if len(*to) == 0 {
			*to = []string{""} // the default of a Backend
		}
		for _, url := range *to {
			if _, err := ollama.New(&ollama.Options{URL: url}); err != nil {
				return err
			}
		}
		return nil
	}
}

// toOpenAI accepts the URLs of servers of OpenAI's API.
func toOpenAI(to *[]string) func(string) error {
	return func(v string) error {
		*to = parts(v)
		for _, url := range *to {
			if _, err := ollama.New(&ollama.Options{URL: url, API: ollama.OpenAIAPI}); err != nil {
				return err
			}
		}
		return nil
	}
}

func toWait(to *time.Duration) func(string) error {
	return func(v string) error {
		d, err := time.ParseDuration(v)
		if err != nil || d < time.Millisecond || d > 24*time.Hour {
			return fmt.Errorf("must be a duration from 1ms to 24h such as 2m, and is %q", v)
		}
		*to = d
		return nil
	}
}

// toLimit takes 0 for no limit.
func toLimit(to *time.Duration) func(string) error {
	return func(v string) (err error) {
		if *to, err = time.ParseDuration(v); err != nil || *to < 0 {
			return fmt.Errorf("must be a duration such as 30s, or 0 for no limit, and is %q", v)
		}
		return nil
	}
}

func toAddr(to *string) func(string) error {
	return func(v string) error {
		_, port, err := net.SplitHostPort(v)
		if err == nil {
			_, err = strconv.ParseUint(port, 10, 16)
		}
		if err != nil {
			return fmt.Errorf("must be HOST:PORT such as 127.0.0.1:8470, and is %q", v)
		}
		*to = v
		return nil
	}
}

func toURL(to *string) func(string) error {
	return func(v string) error {
		if v == "" {
			*to = v
			return nil
		}
		u, err := url.Parse(v)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			return errors.New("must be an http or https URL without user, query and fragment, such as https://jobs.example.com")
		}
		*to = strings.TrimRight(v, "/")
		return nil
	}
}

// parts are the entries of a list.
func parts(v string) []string {
	if v == "" {
		return nil
	}
	all := strings.Split(v, ",")
	for i := range all {
		all[i] = strings.TrimSpace(all[i])
	}
	return all
}

func toPrefixes(to *[]netip.Prefix) func(string) error {
	return func(v string) error {
		*to = nil
		for _, part := range parts(v) {
			p, err := netip.ParsePrefix(part)
			if err != nil {
				return fmt.Errorf("must be ranges of addresses such as 10.0.0.0/8,::1/128, and has %q", part)
			}
			*to = append(*to, p)
		}
		return nil
	}
}

func toNAT64(to *[]netip.Prefix) func(string) error {
	return func(v string) error {
		err := toPrefixes(to)(v)
		if err == nil {
			_, err = webhook.NewGuard(&webhook.GuardOptions{NAT64: *to})
		}
		if err != nil {
			return fmt.Errorf("must be IPv6 prefixes of 32, 40, 48, 56, 64 or 96 bits such as 64:ff9b:1::/96, and is %q", v)
		}
		return nil
	}
}

func toHosts(to *[]string) func(string) error {
	return func(v string) error {
		*to = parts(v)
		if _, err := webhook.NewGuard(&webhook.GuardOptions{Hosts: *to}); err != nil {
			return fmt.Errorf("must be hosts such as hooks.internal,*.corp.example without scheme and port, and is %q", v)
		}
		return nil
	}
}

func toPorts(to *[]uint16) func(string) error {
	return func(v string) error {
		*to = nil
		for _, part := range parts(v) {
			n, err := strconv.ParseUint(part, 10, 16)
			if err != nil || n == 0 {
				return fmt.Errorf("must be ports such as 443,8443, and has %q", part)
			}
			*to = append(*to, uint16(n))
		}
		return nil
	}
}
