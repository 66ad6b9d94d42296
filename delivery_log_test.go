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
		Address: netip.MustParseAddrPort("[2001:db8::1]:443"), Duration: 1500 * time.Microsecond,
	})
	want, err := marshal(&l)
	require.NoError(t, err)
	require.Equal(t, string(want), string(l.encode()))
	require.Equal(t, l, decodeDeliveryLog(l.encode()))

	l.Tries = 2
	require.Equal(t, l, decodeDeliveryLog(l.encode()))
}

// Who does not run the server is not told what is behind a name that leads inside, nor
// who does not own the job what its receiver has answered.
func TestWhoSeesWhatOfAnAttempt(t *testing.T) {
	public := func(a netip.AddrPort) bool { return a.Addr().As4()[0] != 10 }
	inside := DeliveryAttempt{Fault: webhook.FaultGuard, Error: "10.1.2.3 refused", Address: netip.MustParseAddrPort("10.1.2.3:80")}
	seen := attemptAsJSON(&inside, viewer{owner: true, public: public})
	require.Equal(t, guarded, seen.Error)
	require.False(t, seen.Address.IsValid())
	seen = attemptAsJSON(&inside, viewer{admin: true})
	require.Equal(t, inside.Error, seen.Error)
	require.Equal(t, inside.Address, seen.Address)

	late := DeliveryAttempt{Fault: webhook.FaultReceiver, Error: "no answer", Address: inside.Address}
	seen = attemptAsJSON(&late, viewer{owner: true, public: public})
	require.Equal(t, late.Error, seen.Error)
	require.False(t, seen.Address.IsValid(), "it is not a public one, whatever went wrong")

	answered := DeliveryAttempt{
		Fault: webhook.FaultReceiver, HTTPStatus: 500, Response: "a secret of theirs", Address: netip.MustParseAddrPort("192.0.2.1:80"),
	}
	seen = attemptAsJSON(&answered, viewer{owner: true, public: public})
	require.Equal(t, answered.Response, seen.Response)
	require.Equal(t, answered.Address, seen.Address)
	require.Empty(t, attemptAsJSON(&answered, viewer{admin: true}).Response)
}
