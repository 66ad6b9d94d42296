package strictjson

import (
	"bytes"
	"hash/maphash"
)

// few is the number of names up to which comparing with each of them is
// quicker than hashing.
const few = 16

// add gives the innermost object one more name. It reports false if the object
// has it already.
func (s *scanner) add(name []byte) bool {
	l := &s.levels[len(s.levels)-1]
	if names := s.names[l.first:]; len(names) < few {
		for _, other := range names {
			if bytes.Equal(other, name) {
				return false
			}
		}
	} else if !l.index.add(names, name) {
		return false
	}
	s.names = append(s.names, name)
	return true
}

// index finds a name among the many of one object: an open-addressed hash
// table of at least twice as many slots as names. Its seed is random, so that
// nobody can choose names that collide.
type index struct {
	seed  maphash.Seed
	slots []uint32 // 1 + the index of a name, 0 if free; more names than fit need 16 GiB of text
}

// add enters the name that is about to follow the others. It reports false if
// it is one of them.
func (x *index) add(names [][]byte, name []byte) bool {
	if 2*(len(names)+1) > len(x.slots) {
		x.grow(names)
	}
	slot, found := x.find(names, name)
	if !found {
		x.slots[slot] = uint32(len(names) + 1)
	}
	return !found
}

// grow makes a table with room for twice the names, and enters them anew.
func (x *index) grow(names [][]byte) {
	if x.slots == nil {
		x.seed = maphash.MakeSeed()
	}
	size := 4 * few
	for size < 4*len(names) {
		size *= 2
	}
	x.slots = make([]uint32, size)
	for i, name := range names {
		slot, _ := x.find(names, name)
		x.slots[slot] = uint32(i + 1)
	}
}

// find returns the slot that holds name, or else the free one where it belongs.
func (x *index) find(names [][]byte, name []byte) (slot int, found bool) {
	mask := len(x.slots) - 1
	for slot = int(maphash.Bytes(x.seed, name)) & mask; ; slot = (slot + 1) & mask {
		i := x.slots[slot]
		if i == 0 {
			return slot, false
		}
		if bytes.Equal(names[i-1], name) {
			return slot, true
		}
	}
}
