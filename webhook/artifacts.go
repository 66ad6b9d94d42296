package webhook

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"unicode/utf8"
)

// maxInline is the size in bytes of the largest artifact whose data stands in
// the JSON itself.
const maxInline = 256 << 10

// ArtifactMeta describes one output of a job.
type ArtifactMeta struct {
	Name        string
	ContentType string
	Size        int64  // in bytes; if 0, the length of Data is used
	Data        []byte // the whole content; nil if it is not at hand
	SHA256      string // of the content, in hex; if "", it is computed from Data
	URL         string // where the content is; if "", /jobs/<job id>/artifacts/<name> is used
	Removed     bool   // the content is gone; only its description is left
}

// artifact is one element of the array that FormatArtifacts returns.
type artifact struct {
	Name        string  `json:"name"`
	ContentType string  `json:"content_type"`
	Size        int64   `json:"size"`
	SHA256      string  `json:"sha256,omitempty"`
	Data        *string `json:"data,omitempty"`
	Encoding    string  `json:"encoding,omitempty"`
	URL         string  `json:"url,omitempty"`
	DataRemoved bool    `json:"data_removed,omitempty"`
}

// FormatArtifacts returns the JSON array that stands for the artifacts of a
// job in events, in the order of metas; nil if there are none.
//
// Each element has name, content_type, size, and sha256 if it is known. An
// artifact of at most 262,144 bytes (256 KiB) whose Data is given has its
// content in data: text in valid UTF-8 as it is, anything else in base64 with
// "encoding": "base64". An empty artifact has data "". Any other has url. One
// that is removed has url and "data_removed": true, and never data.
func FormatArtifacts(jobID string, metas []ArtifactMeta) json.RawMessage {
	if len(metas) == 0 {
		return nil
	}
	list := make([]artifact, len(metas))
	for i, m := range metas {
		list[i] = m.format(jobID)
	}
	out, err := marshal(list)
	if err != nil {
		panic(err) // strings, numbers and booleans always encode
	}
	return out
}

// InlineSize returns how many bytes data takes in the array of FormatArtifacts: text may
// take up to six for each of its own, and anything else four for three.
func InlineSize(data []byte) int64 {
	if !utf8.Valid(data) {
		return int64(base64.StdEncoding.EncodedLen(len(data)))
	}
	size := int64(len(data))
	for i, c := range data {
		switch {
		case c == '"', c == '\\', c == '\n', c == '\r', c == '\t', c == '\b', c == '\f':
			size++
		case c < ' ':
			size += 5
		case c == 0xe2 && bytes.HasPrefix(data[i+1:], []byte{0x80}) && i+2 < len(data) && data[i+2]&^1 == 0xa8:
			size += 3 // the line and paragraph separators, U+2028 and U+2029
		}
	}
	return size
}

func (m ArtifactMeta) format(jobID string) artifact {
	a := artifact{
		Name:        m.Name,
		ContentType: m.ContentType,
		Size:        m.Size,
		SHA256:      m.SHA256,
		DataRemoved: m.Removed,
	}
	if a.Size == 0 {
		a.Size = int64(len(m.Data))
	}
	known := m.Data != nil || a.Size == 0
	if a.SHA256 == "" && known {
		sum := sha256.Sum256(m.Data)
		a.SHA256 = hex.EncodeToString(sum[:])
	}
	switch {
	case known && !m.Removed && a.Size <= maxInline && len(m.Data) <= maxInline:
		text := string(m.Data)
		if !utf8.Valid(m.Data) {
			text = base64.StdEncoding.EncodeToString(m.Data)
			a.Encoding = "base64"
		}
		a.Data = &text
	case m.URL != "":
		a.URL = m.URL
	default:
		a.URL = "/jobs/" + url.PathEscape(jobID) + "/artifacts/" + url.PathEscape(m.Name)
	}
	return a
}
