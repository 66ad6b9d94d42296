package postgres

import (
	"cmp"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/store"
)

// diff is what is to be done to the tables of heads.
type diff struct {
	added, changed         []*row
	gone                   []ulid.ULID
	ready, unready         []*row
	delayed, undelayed     []timed
	deadlines, undeadlines []timed
}

type timed struct {
	class int16
	at    time.Time
	id    ulid.ULID
}

func (d *diff) add(e *entry) {
	switch {
	case e.cur == nil && e.old == nil:
		return
	case e.cur == nil:
		d.gone = append(d.gone, e.old.ID)
	case e.old == nil:
		d.added = append(d.added, e.cur)
	default:
		d.changed = append(d.changed, e.cur)
	}
	if r, was := place(e.cur), place(e.old); r != was {
		if was != (ready{}) {
			d.unready = append(d.unready, e.old)
		}
		if r != (ready{}) {
			d.ready = append(d.ready, e.cur)
		}
	} else if r != (ready{}) && !since(&e.cur.Head).Equal(since(&e.old.Head)) {
		d.unready, d.ready = append(d.unready, e.old), append(d.ready, e.cur)
	}
	move(&d.delayed, &d.undelayed, delay(e.cur), delay(e.old))
	move(&d.deadlines, &d.undeadlines, deadline(e.cur), deadline(e.old))
}

func move(add, remove *[]timed, now, was timed) {
	if now == was {
		return
	}
	if was != (timed{}) {
		*remove = append(*remove, was)
	}
	if now != (timed{}) {
		*add = append(*add, now)
	}
}

// ready is where a record is in the table of that name; zero if it is not.
type ready struct {
	level
	turn uint64
	id   ulid.ULID
}

func place(r *row) ready {
	if r == nil || !r.ready {
		return ready{}
	}
	return ready{levelOf(&r.Head), r.turn, r.ID}
}

func delay(r *row) timed {
	if r == nil || r.State != store.Queued || r.ready {
		return timed{}
	}
	return timed{at: r.RunAt, id: r.ID}
}

func deadline(r *row) timed {
	if r == nil || r.Deadline.IsZero() {
		return timed{}
	}
	return timed{classOf(r.State), r.Deadline, r.ID}
}

// sort brings everything into the order in which all transactions write.
func (d *diff) sort() {
	byID := func(a, b *row) int { return a.ID.Compare(b.ID) }
	for _, list := range [][]*row{d.added, d.changed, d.ready, d.unready} {
		slices.SortFunc(list, byID)
	}
	slices.SortFunc(d.gone, ulid.ULID.Compare)
	for _, list := range [][]timed{d.delayed, d.undelayed, d.deadlines, d.undeadlines} {
		slices.SortFunc(list, func(a, b timed) int {
			return cmp.Or(cmp.Compare(a.class, b.class), a.at.Compare(b.at), a.id.Compare(b.id))
		})
	}
}
