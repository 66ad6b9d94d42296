package daemon

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/foreman-go/foreman"
)

// webhooks is how webhooks are sent, but for the secret and the guard, which -dev has
// a say in. Files are read now, and not again.
func (c *config) webhooks(log *slog.Logger) (foreman.WebhookOptions, error) {
	o := foreman.WebhookOptions{
		OldSecrets: c.webhookOldSecrets, Proxy: c.webhookProxy, CatchUp: foreman.CatchUp(c.webhookCatchUp),
		Schedule: c.webhookSchedule, Timeout: c.webhookTimeout,
	}
	for i, old := range o.OldSecrets {
		if !old.Expires.IsZero() && !time.Now().Before(old.Expires) {
			log.Warn("an old webhook secret has come to its end and signs nothing; take it out of the settings", "entry", i+1, "until", old.Expires)
		}
	}
	var err error
	if c.webhookCA != "" {
		if o.RootCAs, err = loadCertificates(c.webhookCA); err != nil {
			return o, fmt.Errorf("-webhook-ca: %w", err)
		}
	}
	if c.webhookCert != "" {
		cert, err := loadKeyPair(c.webhookCert, c.webhookKey, log)
		if err != nil {
			return o, fmt.Errorf("-webhook-cert and -webhook-key: %w", err)
		}
		o.Certificates = []tls.Certificate{cert}
	}
	return o, nil
}

// loadCertificates reads a file of certificates. Unlike [x509.CertPool.AppendCertsFromPEM]
// it passes over nothing that it cannot use.
func loadCertificates(path string) (*x509.CertPool, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	n := 0
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		n++
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("%s: block %d is no certificate but a %s; leave only certificates in the file", path, n, block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: certificate %d cannot be read: %w", path, n, err)
		}
		pool.AddCert(cert)
	}
	switch begun := bytes.Count(data, []byte("-----BEGIN ")); {
	case n == 0:
		return nil, fmt.Errorf("%s: it has no certificate in PEM, which begins with -----BEGIN CERTIFICATE-----", path)
	case n < begun:
		return nil, fmt.Errorf("%s: %d of its %d blocks cannot be read as PEM; copy the file anew", path, begun-n, begun)
	}
	return pool, nil
}

// loadKeyPair reads a certificate, with those that certify it behind it, and its key.
func loadKeyPair(certPath, keyPath string, log *slog.Logger) (tls.Certificate, error) {
	cert, err := tls.LoadX509KeyPair(certPath, keyPath)
	if err != nil {
		if _, ok := errors.AsType[*os.PathError](err); ok {
			return cert, err
		}
		return cert, fmt.Errorf("%s, %s: %w; the first one has the certificate in PEM, the second one its key, without a passphrase", certPath, keyPath, err)
	}
	if f, err := os.Stat(keyPath); err == nil && f.Mode().Perm()&0o004 != 0 {
		log.Warn("everybody on this machine can read the key of the webhook certificate; chmod 600 the file", "file", keyPath)
	}
	return cert, nil
}
