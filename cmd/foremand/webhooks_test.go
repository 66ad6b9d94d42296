package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/internal/ollamatest"
	"github.com/foreman-go/foreman/webhook/webhooktest"
)

// attempt is what the tests look at in an attempt at a delivery.
type attempt struct {
	Phase, Fault, Error, Response string
	Status                        int `json:"http_status"`
}

// check has a running foremand check a webhook URL.
func check(t *testing.T, p *process, url string) (delivered bool, how attempt) {
	t.Helper()
	a := post(t, p.url+"/webhooks/check", `{"url":"`+url+`"}`)
	require.Equal(t, http.StatusOK, a.status, string(a.body))
	var c struct {
		Delivered bool
		Attempt   attempt
	}
	require.NoError(t, json.Unmarshal(a.body, &c))
	return c.Delivered, c.Attempt
}

// A receiver that knows the old secret only is served until that has come to its end.
func TestWebhookOldSecrets(t *testing.T) {
	const oldSecret, newSecret = "whsec_dGhlIG9sZCBvbmU=", "whsec_dGhlIG5ldyBvbmU="
	hook := webhooktest.NewReceiver(t, &webhooktest.Options{Secrets: []string{oldSecret}})
	models := ollamatest.New(t, nil).URL() // one that is out of reach would be warned of
	p := start(t, "-dev", "-ollama", models, "-webhook-secret", newSecret, "-webhook-old-secrets", oldSecret+" until "+time.Now().Add(time.Hour).Format(time.RFC3339))
	delivered, how := check(t, p, hook.URL())
	require.True(t, delivered, how.Error)
	require.NotContains(t, p.stderr.String(), "level=WARN")

	p = start(t, "-dev", "-webhook-secret", newSecret, "-webhook-old-secrets", oldSecret+" until 2026-01-01T00:00:00Z")
	delivered, how = check(t, p, hook.URL())
	require.False(t, delivered)
	require.Equal(t, http.StatusUnauthorized, how.Status)
	require.Contains(t, p.stderr.String(), "an old webhook secret has come to its end")
	require.NotContains(t, p.stderr.String(), oldSecret)
}

// A proxy gets all webhooks, and its password is told to nobody else.
func TestWebhookProxy(t *testing.T) {
	var asked atomic.Int64
	forward := &httputil.ReverseProxy{Rewrite: func(*httputil.ProxyRequest) {}, Transport: &http.Transport{DisableKeepAlives: true}}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Proxy-Authorization") != "Basic dXM6aHVzaEBodXNo" { // us:hush@hush
			w.Header().Set("Proxy-Authenticate", `Basic realm="egress"`) // as RFC 9110 has it
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		asked.Add(1)
		forward.ServeHTTP(w, r)
	}))
	defer proxy.Close()
	hook := newReceiver(t)
	p := start(t, "-dev", "-webhook-secret", crashSecret, "-webhook-proxy", strings.Replace(proxy.URL, "http://", "http://us:hush%40hush@", 1))
	id := post(t, p.url+"/jobs", hello[:len(hello)-1]+`,"state_webhook_url":"`+hook.URL+`"}`).job(t).ID
	until(t, p.url+"/jobs/"+id, func(j job) bool { return j.Webhook.Delivered == 3 })
	require.EqualValues(t, 3, asked.Load())
	require.Equal(t, 3, hook.count())

	// Without the right password, or without a proxy, it is the operator's fault.
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, ln.Close())
	for _, u := range []string{
		strings.Replace(proxy.URL, "http://", "http://us:hush-hush@", 1),
		"http://us:hush-hush@" + ln.Addr().String(),
	} {
		p := start(t, "-dev", "-webhook-proxy", u)
		delivered, how := check(t, p, hook.URL)
		require.False(t, delivered)
		require.Equal(t, "proxy", how.Fault, how.Error)
		require.NotContains(t, how.Error, "hush")
		require.NotContains(t, p.stderr.String(), "hush")
	}
}

// authority certifies programs of a test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{cert: &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority of a test"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}}
	der, key := a.certify(t, a.cert)
	a.key = key
	var err error
	a.cert, err = x509.ParseCertificate(der)
	require.NoError(t, err)
	return a
}

// certify signs what a certificate says, for a new key; with the same key if that is
// the authority's own.
func (a *authority) certify(t *testing.T, what *x509.Certificate) ([]byte, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	signer := a.key
	if signer == nil {
		signer = key
	}
	der, err := x509.CreateCertificate(rand.Reader, what, a.cert, key.Public(), signer)
	require.NoError(t, err)
	return der, key
}

// file writes PEM blocks to a file that only its owner can read.
func file(t *testing.T, kind string, der []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pem")
	require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
	return path
}

// A receiver that nobody knows outside, and that wants to know who sends, is served.
func TestWebhookCertificates(t *testing.T) {
	a := newAuthority(t)
	serving, servingKey := a.certify(t, &x509.Certificate{
		SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	sending, sendingKey := a.certify(t, &x509.Certificate{
		SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: "foremand"}, NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	private, err := x509.MarshalPKCS8PrivateKey(sendingKey)
	require.NoError(t, err)
	ca, cert, key := file(t, "CERTIFICATE", a.cert.Raw), file(t, "CERTIFICATE", sending), file(t, "PRIVATE KEY", private)

	clients := x509.NewCertPool()
	clients.AddCert(a.cert)
	var from atomic.Value
	hook := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		from.Store(r.TLS.PeerCertificates[0].Subject.CommonName)
	}))
	hook.TLS = &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{serving}, PrivateKey: servingKey}},
		ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: clients,
	}
	hook.Config.ErrorLog = log.New(io.Discard, "", 0) // it tells of handshakes that fail
	hook.StartTLS()
	defer hook.Close()

	p := start(t, "-dev", "-webhook-ca", ca, "-webhook-cert", cert, "-webhook-key", key)
	id := post(t, p.url+"/jobs", hello[:len(hello)-1]+`,"state_webhook_url":"`+hook.URL+`"}`).job(t).ID
	until(t, p.url+"/jobs/"+id, func(j job) bool { return j.Webhook.Delivered == 3 })
	require.Equal(t, "foremand", from.Load())

	p = start(t, "-dev", "-webhook-ca", ca)
	delivered, how := check(t, p, hook.URL)
	require.False(t, delivered)
	require.Contains(t, how.Error, "certificate required")

	p = start(t, "-dev", "-webhook-cert", cert, "-webhook-key", key)
	delivered, how = check(t, p, hook.URL)
	require.False(t, delivered)
	require.Equal(t, "tls", how.Phase)
	require.Contains(t, how.Error, "certificate signed by unknown authority")
}

// An endpoint that keeps failing is in the log as the document has it, and in what is
// told of each delivery that waits for it.
func TestWebhookEndpointInTheLog(t *testing.T) {
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }))
	defer hook.Close()
	p := start(t, "-dev")
	submit := func() string {
		return post(t, p.url+"/jobs", hello[:len(hello)-1]+`,"webhook_events":["queued"],"state_webhook_url":"`+hook.URL+`"}`).job(t).ID
	}
	for range 5 {
		submit()
	}
	const line = `level=WARN msg="a webhook endpoint keeps failing; what is for it waits" endpoint=`
	require.Eventually(t, func() bool { return strings.Contains(p.stderr.String(), line+hook.URL) }, patience, 10*time.Millisecond)
	a := get(t, p.url+"/jobs/"+submit()+"/deliveries")
	require.Contains(t, string(a.body), `"status":"pending"`)
	require.Contains(t, string(a.body), `"waiting_for":"endpoint"`)

	doc, err := os.ReadFile("../../docs/foremand.md")
	require.NoError(t, err)
	require.Contains(t, string(doc), line)
}
