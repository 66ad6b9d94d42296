package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
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
	maxOldSecrets   = 10
)

// Sign returns the X-Foreman-Signature of body: "sha256=" and the HMAC-SHA256
// (RFC 2104) of body in lower-case hex. The key is the bytes of secret. A
// signature made with the secret "" proves nothing, and VerifySignature
// refuses it.
func Sign(body []byte, secret string) string {
	return signaturePrefix + hex.EncodeToString(mac(secret, body))
}

// mac is for a key that is used once.
func mac(secret string, body []byte) []byte {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write(body)
	return h.Sum(nil)
}

// VerifySignature reports whether signature, the value of the header
// X-Foreman-Signature, was made for exactly these bytes of body by someone who
// knows secret. It refuses whatever is not "sha256=" and 64 hex digits, and
// everything if secret is "": a receiver that lost its secret must not accept
// what anyone can sign. The time it takes does not tell how much of signature
// was right.
//
// The signature covers no time, so an old request can be sent again by whoever
// saw it. A receiver that minds uses a [Verifier].
func VerifySignature(body []byte, signature, secret string) bool {
	digits, ok := strings.CutPrefix(signature, signaturePrefix)
	if !ok || secret == "" || len(digits) != hex.EncodedLen(sha256.Size) {
		return false
	}
	sum, err := hex.DecodeString(digits)
	return err == nil && hmac.Equal(sum, mac(secret, body))
}

// OldSecret is a secret that is being replaced: some receivers may know no
// other yet.
type OldSecret struct {
	Secret  string
	Expires time.Time // no attempt is signed with it from then on; the zero Time is never
}

// signer makes the headers that prove where a message comes from. The zero
// value makes none that need a secret.
type signer struct {
	plain    *key      // of X-Foreman-Signature
	standard []signing // of webhook-signature, the primary one first
}

// signing is a key for as long as it is used.
type signing struct {
	key     *key
	expires time.Time // the zero Time is never
}

// newSigner fails if one of the secrets starts with whsec_ and does not go on in
// base64, and if the old ones are too many, empty, or without a new one.
func newSigner(secret string, old ...OldSecret) (signer, error) {
	switch {
	case len(old) > maxOldSecrets:
		return signer{}, fmt.Errorf("webhook: %d old secrets are too many: keep the newest %d", len(old), maxOldSecrets)
	case secret == "" && len(old) > 0:
		return signer{}, errors.New("webhook: there are old secrets and no new one: set the secret that replaces them")
	case secret == "":
		return signer{}, nil
	}
	primary, err := standardKey("the secret", secret)
	if err != nil {
		return signer{}, err
	}
	s := signer{plain: newKey([]byte(secret)), standard: []signing{{key: primary}}}
	for i, o := range old {
		if o.Secret == "" {
			return signer{}, fmt.Errorf("webhook: old secret %d is empty: leave it out", i+1)
		}
		k, err := standardKey(fmt.Sprintf("old secret %d", i+1), o.Secret)
		if err != nil {
			return signer{}, err
		}
		s.standard = append(s.standard, signing{k, o.Expires})
	}
	return s, nil
}

// rawSigner uses the bytes of secret, whatever they are, as both keys.
func rawSigner(secret string) signer {
	k := newKey([]byte(secret))
	return signer{plain: k, standard: []signing{{key: k}}}
}

// sign sets the headers of one attempt, made at now, at sending body.
func (s signer) sign(h http.Header, id string, now time.Time, body []byte) {
	timestamp := strconv.FormatInt(now.Unix(), 10)
	values := []string{id, timestamp, "", ""} // one array for all
	h["Webhook-Id"], h["Webhook-Timestamp"] = values[0:1:1], values[1:2:2]
	if s.plain == nil {
		return
	}
	values[2], values[3] = s.one(body), s.list(head(id, timestamp), now, body)
	h["X-Foreman-Signature"], h["Webhook-Signature"] = values[2:3:3], values[3:4:4]
}

// one is the value of X-Foreman-Signature.
func (s signer) one(body []byte) string {
	var sum [sha256.Size]byte
	out := make([]byte, 0, len(signaturePrefix)+hex.EncodedLen(sha256.Size))
	return string(hex.AppendEncode(append(out, signaturePrefix...), s.plain.sum(sum[:0], body)))
}

// list is the value of webhook-signature.
func (s signer) list(head []byte, now time.Time, body []byte) string {
	const entry = len(standardVersion) + 44 + len(" ") // 44 are 32 bytes in base64
	out := make([]byte, 0, len(s.standard)*entry)
	for i, k := range s.standard {
		if !k.expires.IsZero() && !now.Before(k.expires) {
			continue
		}
		if i > 0 {
			out = append(out, ' ')
		}
		out = k.key.standard(out, head, body)
	}
	return string(out)
}

// head is what webhook-signature signs before the body.
func head(id, timestamp string) []byte {
	b := make([]byte, 0, len(id)+len(timestamp)+2)
	b = append(append(b, id...), '.')
	return append(append(b, timestamp...), '.')
}
