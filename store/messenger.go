package store

import "context"

// MaxMessage is how many bytes a message of a [Messenger] has at most.
const MaxMessage = 7000

// Messenger is implemented by a [Store] that several processes share, and carries
// messages between them: hints that there is something to look at, and what is shown
// and not stored. They are best effort. A message may be lost, and is never damaged; one
// that is not lost arrives once. Messages of one sender arrive in the order in which they
// were published. A process does not get its own.
type Messenger interface {
	// Publish sends messages, each UTF-8 text of at most [MaxMessage] bytes without
	// NUL, to all other processes that have the store open. It returns when they are
	// on their way. A message that is not of this form is [ErrInvalid], and none is
	// sent; otherwise the errors are [ErrUnavailable], [ErrClosed] and that of the
	// context.
	Publish(ctx context.Context, messages ...string) error

	// Subscribe calls fn for each message, from one goroutine and one at a time,
	// until ctx ends, and then returns the context's error; or [ErrClosed], once the
	// store was closed. It calls lost from the same goroutine when messages may have
	// been missed: when it begins to listen, and when it does so again after the
	// connection was broken. While the store cannot be reached it goes on trying.
	Subscribe(ctx context.Context, fn func(message string), lost func()) error
}
