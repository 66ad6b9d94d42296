package postgres

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/store"
)

func TestClassify(t *testing.T) {
	for name, c := range map[string]struct{ err, want error }{
		"shut down":            {&pgconn.PgError{Code: "57P01"}, store.ErrUnavailable},
		"crashed":              {&pgconn.PgError{Code: "57P02"}, store.ErrUnavailable},
		"starting":             {&pgconn.PgError{Code: "57P03"}, store.ErrUnavailable},
		"too many connections": {&pgconn.PgError{Code: "53300"}, store.ErrUnavailable},
		"standby":              {&pgconn.PgError{Code: "25006"}, store.ErrUnavailable},
		"cut off":              {fmt.Errorf("reading: %w", io.ErrUnexpectedEOF), store.ErrUnavailable},
		"disk full":            {&pgconn.PgError{Code: "53100"}, store.ErrFull},
		"ours":                 {fmt.Errorf("it: %w", store.ErrInvalid), store.ErrInvalid},
	} {
		got := classify(c.err)
		require.ErrorIs(t, got, c.want, name)
		require.ErrorIs(t, got, c.err, name)
	}
	require.NoError(t, classify(nil))
	syntax := &pgconn.PgError{Code: "42601"}
	require.False(t, errors.Is(classify(syntax), store.ErrUnavailable))
	require.True(t, isConflict(fmt.Errorf("commit: %w", &pgconn.PgError{Code: "40P01"})))
}
