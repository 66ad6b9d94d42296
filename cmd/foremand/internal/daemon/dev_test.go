package daemon

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// What -dev says leads to the same jobs, and shows no URL.
func TestGoOn(t *testing.T) {
	for want, c := range map[string]config{
		" -data d":                   {data: "d"},
		" -store ... -data d":        {data: "d", store: "postgres://u:hush@db/x"},
		" -artifacts ... -data d":    {data: "d", artifacts: "s3://hush"},
		" -store ... -artifacts ...": {data: "d", store: "postgres://u:hush@db/x", artifacts: "s3://hush"},
	} {
		require.Equal(t, want, goOn(&c))
	}
}
