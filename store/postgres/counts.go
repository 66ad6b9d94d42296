package postgres

import (
	"cmp"
	"slices"
	"strings"
)

// The numbers that are kept in counts.
const (
	countReady   int16 = 1 // of each lane
	countPending int16 = 2 // deliveries, under the empty name
)

// slots is how many processes can change one number without waiting for each other.
const slots = 64

type counter struct {
	kind int16
	name string
}

func (t *txn) count(kind int16, name string, n int64) {
	if t.counts == nil {
		t.counts = map[counter]int64{}
	}
	t.counts[counter{kind, name}] += n
}

func (t *txn) queueCounts() {
	var list []counter
	for c, n := range t.counts {
		if n != 0 {
			list = append(list, c)
		}
	}
	if len(list) == 0 {
		return
	}
	slices.SortFunc(list, func(a, b counter) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), strings.Compare(a.name, b.name))
	})
	n := t.counts
	t.queue(`INSERT INTO @.counts AS c SELECT u.kind, u.name, $3, u.n FROM unnest($1::smallint[], $2::bytea[], $4::bigint[]) u (kind, name, n)
		ON CONFLICT (kind, name, slot) DO UPDATE SET n = c.n + excluded.n`,
		numbers(list, func(c *counter) int16 { return c.kind }), texts(list, func(c *counter) string { return c.name }),
		t.s.slot, numbers(list, func(c *counter) int64 { return n[*c] }))
}
