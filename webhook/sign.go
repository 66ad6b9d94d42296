package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	signaturePrefix = "sha256="
	standardPrefix  = "whsec_" // of a Standard Webhooks secret
)

// Sign returns the X-Foreman-Signature of body: "sha256=" and the HMAC-SHA256
// (RFC 2104) of body in lower-case hex. The key is the bytes of secret. A
// signature made with the secret "" proves nothing, and VerifySignature
// refuses it.
func Sign(body []byte, secret string) string {
	return signaturePrefix + hex.EncodeToString(mac([]byte(secret), body))
}

// VerifySignature reports whether signature, the value of the header
// X-Foreman-Signature, was made for exactly these bytes of body by someone who
// knows secret. It refuses whatever is not "sha256=" and 64 hex digits, and
// everything if secret is "": a receiver that lost its secret must not accept
// what anyone can sign. The time it takes does not tell how much of signature
// was right.
//
// The signature covers no time, so an old request can be sent again by whoever
// saw it. A receiver that minds remembers webhook-id, or verifies the
// Standard Webhooks headers.
func VerifySignature(body []byte, signature, secret string) bool {
	digits, ok := strings.CutPrefix(signature, signaturePrefix)
	if !ok || secret == "" || len(digits) != hex.EncodedLen(sha256.Size) {
		return false
	}
	sum, err := hex.DecodeString(digits)
	return err == nil && hmac.Equal(sum, mac([]byte(secret), body))
}

// signer makes the headers that prove where a message comes from. The zero
// value makes none that need a secret.
type signer struct {
	secret   string // the key of X-Foreman-Signature
	standard []byte // the key of webhook-signature
}

// newSigner fails if secret starts with whsec_ and the rest is not base64.
func newSigner(secret string) (signer, error) {
	encoded, ok := strings.CutPrefix(secret, standardPrefix)
	if !ok {
		return rawSigner(secret), nil
	}
	// The decoder skips line breaks. One at the end, from a file or a form,
	// would be part of one key and not of the other.
	if encoded == "" || strings.ContainsAny(encoded, "\r\n") {
		return signer{}, errors.New("webhook: the secret has to be whsec_ and base64 on one line, with nothing around it")
	}
	key, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return signer{}, fmt.Errorf("webhook: the secret starts with whsec_ but does not go on in base64 (RFC 4648 section 4, with padding): %w", err)
	}
	return signer{secret: secret, standard: key}, nil
}

// rawSigner uses the bytes of secret, whatever they are, as both keys.
func rawSigner(secret string) signer {
	return signer{secret: secret, standard: []byte(secret)}
}

// sign sets the headers of one attempt, made at now, at sending body.
func (s signer) sign(h http.Header, id string, now time.Time, body []byte) {
	timestamp := strconv.FormatInt(now.Unix(), 10)
	h.Set("Webhook-Id", id)
	h.Set("Webhook-Timestamp", timestamp)
	if s.secret == "" {
		return
	}
	sum := mac(s.standard, []byte(id+"."+timestamp+"."), body)
	h.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(sum))
	h.Set("X-Foreman-Signature", Sign(body, s.secret))
}

// mac returns the HMAC-SHA256 of the parts, one after the other.
func mac(key []byte, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, key)
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}
