package foreman

import (
	"sync"
	"time"

	"github.com/foreman-go/foreman/store"
)

// outcomes are what came of attempts at deliveries, until they are recorded, many at a
// time. At most unsettled of them wait; then those that bring more do.
type outcomes struct {
	mu       sync.Mutex
	room     sync.Cond
	list     []store.Settlement
	underway int           // attempts that will bring one
	news     chan struct{} // holds a token when the first has come, and when the last has
}

// gatherFor is how long an outcome waits for others to be recorded with, while there are
// attempts that they may come of. Nobody waits for it but the next event of its job.
const gatherFor = 15 * time.Millisecond

func (o *outcomes) init() {
	o.room.L = &o.mu
	o.news = make(chan struct{}, 1)
}

// expect says that so many are to come.
func (o *outcomes) expect(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.underway += n
}

// add brings one that was expected.
func (o *outcomes) add(s store.Settlement) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.underway--
	for len(o.list) >= unsettled {
		o.room.Wait()
	}
	o.list = append(o.list, s)
	if len(o.list) == 1 || o.underway == 0 {
		select {
		case o.news <- struct{}{}:
		default:
		}
	}
}

// take waits until there are some, and for others that may join them, and returns them
// all, with spare for those that come after. Once everything was sent it waits for
// nothing, and returns none in the end.
func (o *outcomes) take(spare []store.Settlement, sent <-chan struct{}) []store.Settlement {
	for over := false; !over && o.empty(); {
		select {
		case <-o.news:
		case <-sent:
			over = true
		}
	}
	full := time.NewTimer(gatherFor)
	defer full.Stop()
	for over := false; !over && o.more(); {
		select {
		case <-o.news:
		case <-full.C:
			over = true
		case <-sent:
			over = true
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	batch := o.list
	clear(spare)
	o.list = spare[:0]
	o.room.Broadcast()
	return batch
}

func (o *outcomes) empty() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.list) == 0
}

// more reports whether others may come soon, and have room.
func (o *outcomes) more() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.underway > 0 && len(o.list) < unsettled
}
