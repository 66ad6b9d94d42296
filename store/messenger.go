package store

import "context"

// MaxMessage bounds a message of a [Messenger] in bytes.
const MaxMessage = 7000

// Messenger carries messages between the processes that have a store open. They are a
// way to hear at once of what is in the store anyway, or to show what is nowhere else: a
// message may be lost. None comes twice, or changed; those of one sender come in order;
// nobody gets their own.
type Messenger interface {
	// Publish sends messages, each of UTF-8 text without NUL and of at most [MaxMessage]
	// bytes. When it returns without an error they are on their way. Errors:
	// [ErrInvalid], [ErrUnavailable], [ErrClosed], and [errors.ErrUnsupported] where
	// messages cannot be sent, as through a connection pooler.
	Publish(ctx context.Context, messages ...string) error

	// Subscribe calls fn for each message, one at a time, until ctx ends; then it returns
	// the context's error. It calls lost whenever messages may have been missed: when
	// it begins to listen, and when it does so again after a connection has been lost. It
	// returns [ErrClosed] when the store is closed, and [errors.ErrUnsupported] at once
	// where messages cannot be heard.
	Subscribe(ctx context.Context, fn func(message string), lost func()) error
}
