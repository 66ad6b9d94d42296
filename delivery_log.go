package foreman

import (
	"encoding/json"
	"net/netip"
	"strconv"
	"time"

	"github.com/foreman-go/foreman/store"
	"github.com/foreman-go/foreman/webhook"
)

// deliveryLog is what is kept of the attempts at a delivery.
type deliveryLog struct {
	Tries       int       `json:"tries,omitempty"`       // that count, since it was last sent anew
	Redelivered bool      `json:"redelivered,omitempty"` // somebody asked for it by hand
	Attempts    []keptTry `json:"attempts,omitempty"`    // the latest
}

// keptTry is one of them.
type keptTry struct {
	At       time.Time      `json:"at"`
	Duration time.Duration  `json:"ns"`
	Phase    webhook.Phase  `json:"phase,omitempty"`
	Address  netip.AddrPort `json:"address,omitzero"`
	Status   int            `json:"http_status,omitempty"`
	Fault    webhook.Fault  `json:"fault,omitempty"`
	Error    string         `json:"error,omitempty"`
	Response string         `json:"response,omitempty"`
}

// maxTries bounds how many attempts at a delivery are kept.
const maxTries = 20

func decodeDeliveryLog(b []byte) deliveryLog {
	var l deliveryLog
	if len(b) > 0 && json.Unmarshal(b, &l) != nil {
		return deliveryLog{} // one that cannot be read begins anew
	}
	return l
}

func tryOf(begun time.Time, out *webhook.Outcome) keptTry {
	t := keptTry{
		At: begun, Duration: out.Duration, Phase: out.Phase, Address: out.Address,
		Status: out.Status, Fault: out.Fault, Response: out.Response,
	}
	if out.Err != nil {
		t.Error = out.Err.Error()
	}
	return t
}

func (l *deliveryLog) add(begun time.Time, out *webhook.Outcome) {
	l.Attempts = append(l.Attempts, tryOf(begun, out))
	if over := len(l.Attempts) - maxTries; over > 0 {
		l.Attempts = l.Attempts[over:]
	}
}

// encode writes most logs without reflection: those of one attempt that delivered.
func (l *deliveryLog) encode() []byte {
	if len(l.Attempts) == 1 && l.Tries == 0 && !l.Redelivered {
		if t := &l.Attempts[0]; t.Fault == "" && t.Error == "" && t.Response == "" && t.Address.IsValid() {
			return t.appendPlain(make([]byte, 0, 160))
		}
	}
	b, err := marshal(l)
	if err != nil {
		panic(err) // texts, numbers, and times of this century always encode
	}
	return b
}

func (t *keptTry) appendPlain(b []byte) []byte {
	b = t.At.AppendFormat(append(b, `{"attempts":[{"at":"`...), time.RFC3339Nano)
	b = strconv.AppendInt(append(b, `","ns":`...), int64(t.Duration), 10)
	b = append(append(b, `,"phase":"`...), t.Phase...)
	b = t.Address.AppendTo(append(b, `","address":"`...))
	b = strconv.AppendInt(append(b, `","http_status":`...), int64(t.Status), 10)
	return append(b, `}]}`...)
}

// told is what the body of a delivery says of its event.
type told struct {
	State     State     `json:"state"`
	Timestamp time.Time `json:"timestamp"`
}

func toldBy(body []byte) (t told) {
	_ = json.Unmarshal(body, &t) // it was written here
	return t
}

// eventTime is when the event of a delivery happened.
func eventTime(d *store.Delivery) time.Time {
	if d.Attempt == 0 {
		return d.Due // as it was inserted
	}
	return toldBy(d.Body).Timestamp
}
