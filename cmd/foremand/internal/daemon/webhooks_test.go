package daemon

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/webhook"
)

// pair makes a certificate that certifies itself, and its key, in PEM.
func pair(t *testing.T) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	of := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "foreman"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, of, of, k.Public(), k)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(k)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
}

func TestWebhooks(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	cert, key := pair(t)
	_, otherKey := pair(t)
	for name, data := range map[string][]byte{
		"cert": cert, "key": key, "other key": otherKey, "empty": nil,
		"two":          append(append([]byte("# ours\n"), cert...), cert...),
		"with the key": append(append([]byte{}, cert...), key...),
		"cut off":      append(append([]byte{}, cert...), cert[:len(cert)/2]...),
		"not X.509":    pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("hush")}),
	} {
		require.NoError(t, os.WriteFile(path(name), data, 0o600))
	}
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))

	o, err := (&config{
		webhookCA: path("two"), webhookCert: path("cert"), webhookKey: path("key"), webhookCatchUp: "latest",
		webhookSchedule: webhook.Schedule{time.Minute}, webhookTimeout: time.Second,
	}).webhooks(logger)
	require.NoError(t, err)
	require.NotNil(t, o.RootCAs)
	require.Len(t, o.Certificates, 1)
	require.Equal(t, foreman.CatchUpLatest, o.CatchUp)
	require.Equal(t, webhook.Schedule{time.Minute}, o.Schedule)
	require.Equal(t, time.Second, o.Timeout)
	require.Empty(t, log.String())

	tests := []struct {
		name, ca, cert, key string
		want                string
	}{
		{name: "no file", ca: "nowhere", want: "-webhook-ca: open " + path("nowhere")},
		{name: "empty file", ca: "empty", want: "-webhook-ca: " + path("empty") + ": it has no certificate in PEM"},
		{name: "key", ca: "with the key", want: "block 2 is no certificate but a PRIVATE KEY; leave only certificates"},
		{name: "cut off", ca: "cut off", want: "1 of its 2 blocks cannot be read as PEM"},
		{name: "not X.509", ca: "not X.509", want: "certificate 1 cannot be read"},
		{name: "no certificate", cert: "nowhere", key: "key", want: "-webhook-cert and -webhook-key: open " + path("nowhere")},
		{name: "no key", cert: "cert", key: "nowhere", want: "-webhook-cert and -webhook-key: open " + path("nowhere")},
		{name: "key of another", cert: "cert", key: "other key", want: "the second one its key, without a passphrase"},
		{name: "the two mixed up", cert: "key", key: "cert", want: "the first one has the certificate in PEM"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := &config{}
			for to, name := range map[*string]string{&c.webhookCA: tt.ca, &c.webhookCert: tt.cert, &c.webhookKey: tt.key} {
				if name != "" {
					*to = path(name)
				}
			}
			_, err := c.webhooks(logger)
			require.ErrorContains(t, err, tt.want)
			require.NotContains(t, err.Error(), "hush")
		})
	}

	t.Run("key that everybody can read", func(t *testing.T) {
		require.NoError(t, os.Chmod(path("key"), 0o644))
		_, err := (&config{webhookCert: path("cert"), webhookKey: path("key")}).webhooks(logger)
		require.NoError(t, err)
		require.Contains(t, log.String(), "everybody on this machine can read the key of the webhook certificate")
	})
}

// Whoever forgets to take an old secret out is told, and not stopped.
func TestWebhooksTellOfSecretsThatHaveEnded(t *testing.T) {
	var log bytes.Buffer
	_, err := (&config{webhookOldSecrets: []webhook.OldSecret{
		{Secret: "hush"}, {Secret: "hush", Expires: time.Now().Add(-time.Hour)}, {Secret: "hush", Expires: time.Now().Add(time.Hour)},
	}}).webhooks(slog.New(slog.NewTextHandler(&log, nil)))
	require.NoError(t, err)
	require.Equal(t, 1, bytes.Count(log.Bytes(), []byte("level=WARN")))
	require.Contains(t, log.String(), "an old webhook secret has come to its end and signs nothing")
	require.Contains(t, log.String(), "entry=2")
	require.NotContains(t, log.String(), "hush")
}
