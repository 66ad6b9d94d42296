package artifact_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/artifact"
)

func TestInline(t *testing.T) {
	for size, want := range map[int64]bool{0: true, 262_143: true, 262_144: true, 262_145: false} {
		require.Equal(t, want, artifact.Info{Size: size}.Inline(), "%d bytes", size)
	}
}

func TestInfoInJSON(t *testing.T) {
	text, err := json.Marshal(artifact.Info{Name: "a.txt", ContentType: "text/plain", Size: 3, SHA256: "ab"})
	require.NoError(t, err)
	require.JSONEq(t, `{"name":"a.txt","content_type":"text/plain","size":3,"sha256":"ab"}`, string(text))
}
