package artifact

import (
	"fmt"
	"mime"
	"strings"
)

const (
	// defaultContentType is that of an artifact that was given none.
	defaultContentType = "application/octet-stream"
	// maxContentType is the length in bytes of the longest content type.
	maxContentType = 255
)

// CheckContentType returns a content type in a uniform spelling, fit to be the
// value of a Content-Type header: type and parameter names in lower case,
// parameters in order, printable ASCII only. For "" it returns
// "application/octet-stream". It does not know which types exist.
//
// A text that is not a type, a slash and a subtype, with parameters or without
// (RFC 2045, section 5.1, as read by [mime.ParseMediaType]), that is longer
// than 255 bytes, or that has a control character or a byte beyond ASCII in it,
// is refused with [ErrContentType].
func CheckContentType(ct string) (string, error) {
	if ct == "" {
		return defaultContentType, nil
	}
	if len(ct) > maxContentType {
		return "", fmt.Errorf("artifact: %w: it has %d bytes; at most %d are allowed", ErrContentType, len(ct), maxContentType)
	}
	for i := range len(ct) {
		if ct[i] < ' ' || ct[i] > '~' {
			return "", fmt.Errorf("artifact: %w %q: only printable ASCII is allowed", ErrContentType, ct)
		}
	}
	base, params, err := mime.ParseMediaType(ct)
	if err != nil {
		return "", fmt.Errorf("artifact: %w %q: %w", ErrContentType, ct, err)
	}
	uniform := mime.FormatMediaType(base, params)
	if !strings.Contains(base, "/") || uniform == "" || len(uniform) > maxContentType {
		return "", fmt.Errorf("artifact: %w %q: it must look like \"text/plain\"", ErrContentType, ct)
	}
	return uniform, nil
}
