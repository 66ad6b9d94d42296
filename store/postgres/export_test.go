package postgres

import "time"

// Class is that of the advisory locks of a schema.
var Class = classOfSchema

// SetClock gives the process that opens a store a clock of its own.
func (o *Options) SetClock(now func() time.Time) { o.local = now }
