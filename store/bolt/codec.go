package bolt

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/foreman-go/foreman/store"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// seal appends the checksum of a value to it. Data pages of bbolt have none.
func seal(b []byte) []byte {
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// open returns a sealed value without its checksum, not copied.
func open(b []byte) ([]byte, error) {
	n := len(b) - crc32.Size
	if n < 0 || crc32.Checksum(b[:n], castagnoli) != binary.BigEndian.Uint32(b[n:]) {
		return nil, fmt.Errorf("%w: a record does not match its checksum", store.ErrDamaged)
	}
	return b[:n], nil
}

// row is what is kept of a record in bucketHeads: its head, and where in bucketLog its
// events and its blobs are.
type row struct {
	store.Head
	turn          uint64   // see turns.go
	events        []uint64 // by sequence from 1
	spec, outcome blob
}

// blob is a value that lies in bucketLog as it was given.
type blob struct {
	pos uint64 // 0 if there is none
	sum uint32
}

// openBlob returns a copy of a blob.
func openBlob(b []byte, sum uint32) ([]byte, error) {
	if b == nil || crc32.Checksum(b, castagnoli) != sum {
		return nil, fmt.Errorf("%w: a blob does not match its checksum", store.ErrDamaged)
	}
	return append(make([]byte, 0, len(b)), b...), nil
}

// appendRow writes everything but the id, which is the key. Numbers are varints, and
// a time is the microseconds since 1970, or nothing when its bit in the mask is not
// set. The places of events are written as the steps between them, the first from the
// place of the spec.
func appendRow(b []byte, r *row) []byte {
	h := &r.Head
	b = appendBlob(b, r.spec)
	b = appendBlob(b, r.outcome)
	b = binary.AppendUvarint(b, r.turn)
	b = binary.AppendUvarint(b, h.Version)
	b = binary.AppendUvarint(b, h.Seq)
	b = appendString(b, string(h.State))
	b = appendString(b, h.Owner)
	b = appendString(b, h.Lane)
	b = appendString(b, h.Kind)
	b = binary.AppendUvarint(b, uint64(len(h.Labels)))
	for k, v := range h.Labels {
		b = appendString(appendString(b, k), v)
	}
	b = binary.AppendVarint(b, int64(h.Priority))
	b = binary.AppendUvarint(b, uint64(h.Attempt))
	b = appendString(b, h.Worker)
	times := [...]time.Time{h.Created, h.RunAt, h.Started, h.Finished, h.Expires, h.Deadline}
	var mask byte
	for i, t := range times {
		if !t.IsZero() {
			mask |= 1 << i
		}
	}
	b = append(b, mask)
	for _, t := range times {
		if !t.IsZero() {
			b = binary.AppendVarint(b, t.UnixMicro())
		}
	}
	b = appendString(b, h.IdempotencyKey)
	b = appendBytes(b, h.Fingerprint)
	b = appendBytes(b, h.Note)
	b = binary.AppendUvarint(b, uint64(len(r.events)))
	last := r.spec.pos
	for _, pos := range r.events {
		b = binary.AppendUvarint(b, pos-last)
		last = pos
	}
	return b
}

func appendBlob(b []byte, x blob) []byte {
	b = binary.AppendUvarint(b, x.pos)
	if x.pos == 0 {
		return b
	}
	return binary.BigEndian.AppendUint32(b, x.sum)
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendBytes(b, v []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(v))), v...)
}

func decodeRow(b []byte, w *row) error {
	r := reader{b: b}
	h := &w.Head
	w.spec, w.outcome = r.blob(), r.blob()
	w.turn = r.uvarint()
	h.Version = r.uvarint()
	h.Seq = r.uvarint()
	h.State = state(r.bytes())
	h.Owner = string(r.bytes())
	h.Lane = string(r.bytes())
	h.Kind = string(r.bytes())
	if n := r.count(); n > 0 {
		h.Labels = make(map[string]string, n)
		for range n {
			k := string(r.bytes())
			h.Labels[k] = string(r.bytes())
		}
	}
	h.Priority = int32(r.varint())
	h.Attempt = int(r.uvarint())
	h.Worker = string(r.bytes())
	mask := r.byte()
	for i, t := range []*time.Time{&h.Created, &h.RunAt, &h.Started, &h.Finished, &h.Expires, &h.Deadline} {
		if mask&(1<<i) != 0 {
			*t = time.UnixMicro(r.varint()).UTC()
		}
	}
	h.IdempotencyKey = string(r.bytes())
	h.Fingerprint = r.copied()
	h.Note = r.copied()
	if n := r.count(); n > 0 {
		const usual = 4 // and room for what comes
		w.events = make([]uint64, n, n+usual)
		last := w.spec.pos
		for i := range w.events {
			last += r.uvarint()
			w.events[i] = last
		}
	}
	return r.end()
}

// state avoids an allocation for the states that most records have.
func state(b []byte) store.State {
	switch string(b) {
	case string(store.Queued):
		return store.Queued
	case string(store.Working):
		return store.Working
	}
	return store.State(b)
}

func appendDelivery(b []byte, d *store.Delivery) []byte {
	b = appendString(b, d.Endpoint)
	b = appendString(b, d.URL)
	b = appendString(b, string(d.State))
	b = binary.AppendUvarint(b, uint64(d.Attempt))
	b = binary.AppendVarint(b, d.Due.UnixMicro())
	return appendBytes(b, d.Log)
}

// decodeDelivery keeps an endpoint that is there already and the same.
func decodeDelivery(b []byte, d *store.Delivery) error {
	r := reader{b: b}
	if endpoint := r.bytes(); string(endpoint) != d.Endpoint {
		d.Endpoint = string(endpoint)
	}
	d.URL = string(r.bytes())
	d.State = deliveryState(r.bytes())
	d.Attempt = int(r.uvarint())
	d.Due = time.UnixMicro(r.varint()).UTC()
	d.Log = r.copied()
	return r.end()
}

// stateOf reads no more than the state of a delivery.
func stateOf(v []byte) (store.DeliveryState, error) {
	b, err := open(v)
	if err != nil {
		return "", err
	}
	r := reader{b: b}
	r.bytes()
	r.bytes()
	return deliveryState(r.bytes()), nil
}

// deliveryState avoids an allocation for the states that there are.
func deliveryState(b []byte) store.DeliveryState {
	for _, s := range [...]store.DeliveryState{store.Pending, store.Delivered, store.Failed, store.Superseded, store.Stopped} {
		if string(b) == string(s) {
			return s
		}
	}
	return store.DeliveryState(b)
}

// reader takes values off the front of b. After the first one that is not
// there it gives zero values, and end reports it.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) fail() {
	r.b, r.bad = nil, true
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) uint32() uint32 {
	if len(r.b) < 4 {
		r.fail()
		return 0
	}
	v := binary.BigEndian.Uint32(r.b)
	r.b = r.b[4:]
	return v
}

func (r *reader) blob() (x blob) {
	if x.pos = r.uvarint(); x.pos != 0 {
		x.sum = r.uint32()
	}
	return x
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail()
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

// count reads the number of things that follow, each at least one byte long.
func (r *reader) count() int {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.fail()
		return 0
	}
	return int(n)
}

// bytes returns a part of b, not copied.
func (r *reader) bytes() []byte {
	n := r.count()
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

// copied is nil for no bytes.
func (r *reader) copied() []byte {
	return append([]byte(nil), r.bytes()...)
}

func (r *reader) end() error {
	if r.bad || len(r.b) != 0 {
		return fmt.Errorf("%w: a record is not of the form it should have", store.ErrDamaged)
	}
	return nil
}
