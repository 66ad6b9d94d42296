package bolt

import (
	"context"
	"fmt"
	"slices"

	"github.com/foreman-go/foreman/store"
)

// Pause implements [store.Queue].
func (s *Store) Pause(ctx context.Context, p store.Pause) error {
	if err := checkLanes(p.Lanes); err != nil {
		return err
	}
	var refused error // this caller's alone
	err := s.write(ctx, func(t *txn) error {
		var err error
		refused, err = t.pause(p)
		return err
	})
	if err != nil {
		return err
	}
	return refused
}

func (t *txn) pause(p store.Pause) (refused, err error) {
	b := t.bucket(bucketPaused)
	var keys [][]byte
	for _, lane := range slices.Compact(slices.Sorted(slices.Values(p.Lanes))) {
		if key := appendName(nil, lane); !t.pausedLane(key) {
			keys = append(keys, key)
		}
	}
	if len(keys) > 0 {
		n := len(keys)
		c := b.Cursor()
		for k, _ := c.First(); k != nil; k, _ = c.Next() {
			n++
		}
		if n > store.MaxPaused {
			return fmt.Errorf("%w: more than %d lanes would be paused: resume some, or pause all at once", store.ErrFull, store.MaxPaused), nil
		}
	}
	for _, key := range keys {
		if err := b.Put(key, present); err != nil {
			return nil, err
		}
	}
	if p.All {
		return nil, t.bucket(bucketMeta).Put(pausedKey, present)
	}
	return nil, nil
}

// Resume implements [store.Queue].
func (s *Store) Resume(ctx context.Context, p store.Pause) error {
	if err := checkLanes(p.Lanes); err != nil {
		return err
	}
	return s.write(ctx, func(t *txn) error {
		for _, lane := range p.Lanes {
			if err := t.bucket(bucketPaused).Delete(appendName(nil, lane)); err != nil {
				return err
			}
		}
		if p.All {
			return t.bucket(bucketMeta).Delete(pausedKey)
		}
		return nil
	})
}

// Paused implements [store.Queue].
func (s *Store) Paused(ctx context.Context) (store.Pause, error) {
	var p store.Pause
	if err := ctx.Err(); err != nil {
		return p, err
	}
	err := s.view(func(t *txn) error {
		p.All = t.pausedAll()
		return t.bucket(bucketPaused).ForEach(func(k, _ []byte) error {
			name, _ := cutName(k)
			p.Lanes = append(p.Lanes, string(name))
			return nil
		})
	})
	slices.Sort(p.Lanes)
	return p, err
}

func (t *txn) pausedAll() bool { return t.get(bucketMeta, pausedKey) != nil }

// pausedLane takes the key of the lane. All lanes may be paused beside.
func (t *txn) pausedLane(key []byte) bool { return t.get(bucketPaused, key) != nil }

func checkLanes(lanes []string) error {
	for _, lane := range lanes {
		if len(lane) > maxName {
			return tooLong(lane)
		}
	}
	return nil
}
