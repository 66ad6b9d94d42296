package postgres

import "time"

// Classes are those of the advisory locks of a schema.
var Classes = classesOf

// SetClock gives the process that opens a store a clock of its own.
func (o *Options) SetClock(now func() time.Time) { o.local = now }
