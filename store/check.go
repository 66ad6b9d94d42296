package store

import "fmt"

// Check finds what a caller of [Records] got wrong about a record that is inserted or
// changed, for those who implement a [Store]: h is the new head, seq the sequence of the
// old one, or 0. Events must follow each other from there and end with the head, and
// deliveries be of these events, in order. What is wrong is [ErrInvalid]. How long names
// may be is each store's to say.
func Check(h *Head, seq uint64, events []Event, deliveries []Delivery) error {
	if h.ID.IsZero() {
		return fmt.Errorf("%w: no id", ErrInvalid)
	}
	if h.State == "" {
		return fmt.Errorf("%w: no state", ErrInvalid)
	}
	for i := range deliveries {
		if d := &deliveries[i]; d.Seq <= seq || d.Seq > h.Seq || i > 0 && d.Seq <= deliveries[i-1].Seq {
			return fmt.Errorf("%w: delivery %d has sequence %d, which is not of an event beside it, in order", ErrInvalid, i, d.Seq)
		}
	}
	for i := range events {
		if seq++; events[i].Seq != seq {
			return fmt.Errorf("%w: event %d has sequence %d, not %d", ErrInvalid, i, events[i].Seq, seq)
		}
	}
	if h.Seq != seq {
		return fmt.Errorf("%w: the events end at %d, and the head says %d", ErrInvalid, seq, h.Seq)
	}
	return nil
}
