package daemon

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/foreman-go/foreman/webhook"
)

// toSecret accepts what webhooks can be signed with.
func toSecret(to *string) func(string) error {
	return func(v string) error {
		s, err := webhook.NewSender(&webhook.SenderOptions{Secret: v})
		if err != nil {
			return err
		}
		s.Close()
		*to = v
		return nil
	}
}

// toOldSecrets accepts entries with commas between. Where there is a line break, each
// is on a line of its own, for secrets that have commas in them.
func toOldSecrets(to *[]webhook.OldSecret) func(string) error {
	return func(v string) error {
		entries := parts(v)
		if strings.Contains(v, "\n") {
			entries = strings.Split(strings.TrimSuffix(v, "\n"), "\n")
		}
		var old []webhook.OldSecret
		for i, e := range entries {
			o, err := oldSecret(strings.TrimSpace(e))
			if err != nil {
				return fmt.Errorf("entry %d %w", i+1, err)
			}
			old = append(old, o)
		}
		s, err := webhook.NewSender(&webhook.SenderOptions{Secret: "the new one", OldSecrets: old})
		if err != nil {
			return err
		}
		s.Close()
		*to = old
		return nil
	}
}

var untilTime = regexp.MustCompile(`^(?:(.*)\s)?until(?:\s+(.*))?$`)

// oldSecret reads SECRET, or SECRET until TIME.
func oldSecret(entry string) (o webhook.OldSecret, err error) {
	o.Secret = entry
	if m := untilTime.FindStringSubmatch(entry); m != nil {
		o.Secret = strings.TrimSpace(m[1])
		if o.Expires, err = time.Parse(time.RFC3339, m[2]); err != nil || o.Expires.IsZero() {
			return o, errors.New("must have a time such as 2026-12-01T00:00:00Z after until")
		}
	}
	if o.Secret == "" {
		return o, errors.New("is empty; it must be a secret, or a secret and its end: SECRET until 2026-12-01T00:00:00Z")
	}
	return o, nil
}

// toProxy accepts what webhooks can be sent through. It may have a password.
func toProxy(to **url.URL) func(string) error {
	return func(v string) error {
		if v == "" {
			*to = nil
			return nil
		}
		u, err := url.Parse(v)
		if err == nil && u.Port() != "" {
			_, err = strconv.ParseUint(u.Port(), 10, 16)
		}
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
			return errors.New("must be an http or https URL with a host and perhaps a port, such as http://proxy.internal:3128; what of user:password@ is no letter or digit goes there as %40 and the like")
		}
		*to = u
		return nil
	}
}

// The bounds of a schedule.
const (
	mostGaps   = 20
	longestGap = 24 * time.Hour
)

// toSchedule accepts the gaps between attempts, with commas between.
func toSchedule(to *webhook.Schedule) func(string) error {
	return func(v string) error {
		var s webhook.Schedule
		for _, p := range parts(v) {
			gap, err := time.ParseDuration(p)
			if err != nil || gap <= 0 || gap > longestGap {
				return fmt.Errorf("must have durations above 0 and up to 24h, such as 5s,5m,30m, and has %q", p)
			}
			s = append(s, gap)
		}
		if len(s) == 0 || len(s) > mostGaps {
			return fmt.Errorf("must have from 1 to %d durations, such as 5s,5m,30m", mostGaps)
		}
		*to = s
		return nil
	}
}

// toTimeout accepts how long one attempt may take.
func toTimeout(to *time.Duration) func(string) error {
	return func(v string) error {
		d, err := time.ParseDuration(v)
		if err != nil || d < time.Second || d > 2*time.Minute {
			return fmt.Errorf("must be a duration from 1s to 2m, such as 15s, and is %q", v)
		}
		*to = d
		return nil
	}
}
