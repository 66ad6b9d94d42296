package ollama

import (
	"slices"
	"sync"
)

// held is what this program has had loaded, and has not had unloaded since. Ollama says
// which models it has loaded, and not with what options.
type held struct {
	mu    sync.Mutex
	clock uint64 // counts beginnings and ends of loads
	of    map[string]*holding
}

// holding is a model that is loaded, or being loaded.
type holding struct {
	lane   lane
	before *lane // as what the model was held when the load began, if it was
	begun  uint64
	ended  uint64 // 0 while it is being loaded
}

// begin notes that a lane is being loaded.
func (h *held) begin(l lane) *holding {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clock++
	n := &holding{lane: l, begun: h.clock}
	if o := h.of[l.model]; o != nil && o.ended > 0 {
		n.before = &o.lane
	}
	h.of[l.model] = n
	return n
}

// end notes that a load is over. Of one that has failed nobody knows how far it came.
func (h *held) end(n *holding, loaded bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clock++
	n.ended = h.clock
	if !loaded && h.of[n.lane.model] == n {
		delete(h.of, n.lane.model)
	}
}

// forget notes that a model is being unloaded.
func (h *held) forget(model string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.of, model)
}

// loading reports whether a model is being loaded.
func (h *held) loading(model string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	o := h.of[model]
	return o != nil && o.ended == 0
}

// lane is what a model is held as, if that is known.
func (h *held) lane(model string) (l lane, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if o := h.of[model]; o != nil && o.ended > 0 {
		return o.lane, true
	}
	return lane{}, false
}

// inTheWay reports whether a loaded model has to go before n is loaded: any that no
// other slot holds, or has begun to load since keep was put together. The model of n
// itself has to go if it is held with other options.
func (h *held) inTheWay(n *holding, model string, keep []lane) bool {
	if slices.ContainsFunc(keep, func(l lane) bool { return l.model == model }) {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if model == n.lane.model {
		return n.before != nil && n.before.String() != n.lane.String()
	}
	o := h.of[model]
	return o == nil || o.ended > 0 && o.ended < n.begun
}
