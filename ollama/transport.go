package ollama

import (
	"net"
	"net/http"
	"time"
)

// newTransport makes what sends requests, if nothing else is given.
//
// Jobs use each connection once. An error of dialing then means that the server is not
// there and the attempt does not count, and any other that the server was there and
// ended while it had the job: what an idle connection that has gone looks like does not
// come between the two.
//
// Callers use connections again, as the clients of a model server do. A call that
// cannot be written because its connection has gone is sent again over another one, by
// net/http. One that was written, and got no byte back, is not: the server may have
// begun it, and nothing is generated twice. Its caller gets 502, where one without a
// gateway would have seen the connection end. net/http sees the end of an idle connection
// when the server ends it, so that this is left to a server that ends in the very moment
// of a call.
func newTransport(again bool) *http.Transport {
	t := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSHandshakeTimeout: 10 * time.Second,
		DisableKeepAlives:   !again,
		DisableCompression:  true, // what was sent is to be passed on as it is
	}
	if again {
		t.MaxIdleConnsPerHost = 64 // more than a slot has places
		t.IdleConnTimeout = 30 * time.Second
	}
	return t
}
