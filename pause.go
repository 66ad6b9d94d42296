package foreman

import "slices"

// paused is what may not begin.
type paused struct {
	all   bool
	lanes []string
}

func (p *paused) has(lane string) bool { return p.all || slices.Contains(p.lanes, lane) }
