package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"hash"
	"strings"
	"sync"
)

const (
	standardPrefix  = "whsec_" // of a Standard Webhooks secret
	standardVersion = "v1,"    // of a signature with such a secret
)

// key makes HMAC-SHA256 (RFC 2104) with one key. It keeps hashes that have taken
// the key in, so that a short message costs little more than its own bytes.
type key struct{ hashes sync.Pool }

func newKey(b []byte) *key {
	return &key{sync.Pool{New: func() any { return hmac.New(sha256.New, b) }}}
}

// sum appends the HMAC of the parts, one after the other, to dst.
func (k *key) sum(dst []byte, parts ...[]byte) []byte {
	h, _ := k.hashes.Get().(hash.Hash)
	h.Reset()
	for _, p := range parts {
		h.Write(p)
	}
	dst = h.Sum(dst)
	k.hashes.Put(h)
	return dst
}

// standard appends an entry of webhook-signature to dst: it signs the message
// whose head is "id.timestamp.".
func (k *key) standard(dst, head, body []byte) []byte {
	var sum [sha256.Size]byte
	return base64.StdEncoding.AppendEncode(append(dst, standardVersion...), k.sum(sum[:0], head, body))
}

// standardKey returns the key of webhook-signature. It fails if secret starts
// with whsec_ and the rest is not base64; the error calls it by name.
func standardKey(name, secret string) (*key, error) {
	encoded, ok := strings.CutPrefix(secret, standardPrefix)
	if !ok {
		return newKey([]byte(secret)), nil
	}
	// The decoder skips line breaks. One at the end, from a file or a form,
	// would be part of one key and not of the other.
	if encoded == "" || strings.ContainsAny(encoded, "\r\n") {
		return nil, fmt.Errorf("webhook: %s has to be whsec_ and base64 on one line, with nothing around it", name)
	}
	b, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, fmt.Errorf("webhook: %s starts with whsec_ but does not go on in base64 (RFC 4648 section 4, with padding): %w", name, err)
	}
	return newKey(b), nil
}
