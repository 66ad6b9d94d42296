package pgtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// UseTLS has the server take connections with TLS too, with a certificate for localhost,
// and returns the file that clients are to trust.
func (s *Server) UseTLS(tb testing.TB) (ca string) {
	tb.Helper()
	certificate, key, err := certify("localhost")
	s.must(tb, err)
	data := filepath.Join(s.dir, "data")
	for name, text := range map[string][]byte{"server.crt": certificate, "server.key": key} {
		file := filepath.Join(data, name)
		s.must(tb, os.WriteFile(file, text, 0o600))
		s.must(tb, giveAway(file))
	}
	settings, err := os.OpenFile(filepath.Join(data, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	s.must(tb, err)
	_, err = settings.WriteString("ssl = on\n")
	s.must(tb, errors.Join(err, settings.Close()))
	s.must(tb, errors.Join(s.stop("again"), s.start()))
	ca = filepath.Join(tb.TempDir(), "ca.pem")
	s.must(tb, os.WriteFile(ca, certificate, 0o600))
	return ca
}

// certify makes a certificate for a host, which is signed by itself.
func certify(host string) (certificate, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		return nil, nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), nil
}
