package foreman

import (
	"log/slog"
	"testing"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/store"
)

// The bodies that are under way are bounded in bytes all together, however often more is
// claimed, but for one delivery.
func TestBytesUnderWay(t *testing.T) {
	f, err := New(BackendFunc(nil), &Options{Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	o := &f.outbox
	claim, _ := o.room()
	require.EqualValues(t, maxUnderway/2, claim.Bytes, "who is unproven has half")
	require.Positive(t, claim.Limit)
	ds := []store.Delivery{
		{ID: ulid.Make(), Endpoint: "a", Body: make([]byte, maxUnderway/2)},
		{ID: ulid.Make(), Endpoint: "b", Body: make([]byte, maxUnderway)},
	}
	o.take(ds[:1])
	claim, _ = o.room()
	require.EqualValues(t, maxUnderway/2, claim.Bytes)
	o.take(ds[1:])
	claim, _ = o.room()
	require.Zero(t, claim.Limit, "nothing more")
	for i := range ds {
		o.release(&ds[i], nil)
	}
	claim, _ = o.room()
	require.EqualValues(t, maxUnderway/2, claim.Bytes, "who is unproven has half")
	require.Positive(t, claim.Limit)
}
