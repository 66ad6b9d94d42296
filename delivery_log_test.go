package foreman

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/webhook"
)

// The log of most deliveries is written by hand, and has to be what it would be
// otherwise.
func TestPlainDeliveryLog(t *testing.T) {
	var l deliveryLog
	l.add(time.Date(2026, 11, 24, 2, 35, 22, 192988000, time.UTC), &webhook.Outcome{
		Result: webhook.Delivered, Phase: webhook.PhaseBody, Status: 204,
		Addr: netip.MustParseAddrPort("[2001:db8::1]:443"), Duration: 1500 * time.Microsecond,
	})
	want, err := marshal(&l)
	require.NoError(t, err)
	require.Equal(t, string(want), string(l.encode()))
	require.Equal(t, l, decodeDeliveryLog(l.encode()))

	l.Tries = 2
	require.Equal(t, l, decodeDeliveryLog(l.encode()))
}
