package blobstore

// Idle reports whether s remembers nothing of Puts and sweeps.
func (s *Store) Idle() bool {
	s.puts.mu.Lock()
	defer s.puts.mu.Unlock()
	return len(s.puts.claims) == 0
}
