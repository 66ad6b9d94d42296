package webhook

import (
	"fmt"
	"net/netip"
)

// GuardError says that a [Guard] refused to have something dialed.
type GuardError struct {
	Addr   netip.Addr // the zero Addr if it is not an IP address, or not known yet
	Port   uint16
	Rule   string // which rule refused it, for example "127.0.0.0/8: loopback"
	Option string // the field of [GuardOptions] that allows it: "Prefixes" or "Ports"; "" if none does
}

// Error names what was refused and the rule, and says what would allow it.
func (e *GuardError) Error() string {
	switch e.Option {
	case optionPorts:
		return fmt.Sprintf("webhook: port %d refused: %s; to allow it, set GuardOptions.Ports", e.Port, e.Rule)
	case optionPrefixes:
		return fmt.Sprintf("webhook: address %v refused: %s; to allow it, add it to GuardOptions.Prefixes, or the host to GuardOptions.Hosts", e.Addr, e.Rule)
	}
	return fmt.Sprintf("webhook: address %v refused: %s; no option allows it", e.Addr, e.Rule)
}
