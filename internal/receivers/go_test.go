package receivers_test

import (
	"net/http"
	"testing"

	"github.com/google/go-github/v89/github"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"
	svix "github.com/svix/svix-webhooks/go"

	"github.com/foreman-go/foreman/webhook"
)

func withStandardWebhooks(secret string, header http.Header, body []byte) error {
	wh, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		return err
	}
	return wh.Verify(body, header)
}

func withSvix(secret string, header http.Header, body []byte) error {
	wh, err := svix.NewWebhook(secret)
	if err != nil {
		return err
	}
	return wh.Verify(body, header)
}

func withGitHub(secret string, header http.Header, body []byte) error {
	return github.ValidateSignature(header.Get("X-Foreman-Signature"), body, []byte(secret))
}

func withVerifier(secret string, header http.Header, body []byte) error {
	v, err := webhook.NewVerifier(webhook.VerifierOptions{Secrets: []string{secret}})
	if err != nil {
		return err
	}
	return v.Verify(header, body)
}

func TestGoLibraries(t *testing.T) {
	for name, d := range deliveries(t) {
		t.Run(name, func(t *testing.T) {
			for library, verify := range map[string]func(secret string, header http.Header, body []byte) error{
				"standard-webhooks": withStandardWebhooks,
				"svix":              withSvix,
				"ours":              withVerifier,
			} {
				err := verify(shared(d.secret), d.header, d.body)
				require.Equal(t, d.standard, err == nil, "%s: %v", library, err)
			}
			err := withGitHub(d.secret, d.header, d.body)
			require.Equal(t, d.github, err == nil, "go-github: %v", err)
			require.Equal(t, d.github, webhook.VerifySignature(d.body, d.header.Get("X-Foreman-Signature"), d.secret))
		})
	}
}
