// Package peers measures other queues on the same machine, at the same work, as Foreman's
// own benchmarks do. It is a module of its own, so that nothing of what it compares is
// needed by Foreman.
package peers
