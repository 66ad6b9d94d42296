// Package foreman is a durable job desk in front of any slow backend: a model server
// on one GPU, a renderer, a converter. Work is accepted in a millisecond, survives a
// crash, runs when its turn comes, and its caller polls, waits, watches, or gets a
// signed webhook at each change of state. Outputs wait as artifacts.
//
// [New] opens a [Foreman] in front of a [Backend]. [Foreman.Submit] makes a job durable,
// and [Foreman.Run] runs jobs until its context ends: see the first example.
// [Foreman.Handler] offers the same over HTTP, under any prefix of any mux.
//
// # What is promised
//
// What Submit has returned survives the loss of the process and of power. A claim, with
// its attempt number, is durable before the backend is called. A change of state, its
// event and its webhook are one transaction, and every write names the version that it
// was made from: a result that comes too late changes nothing.
//
// A job runs at least once. It can run again when the process dies, or is not heard of
// for [Options].Lease, before the end of the attempt was stored.
//
// # Slots and lanes
//
// A backend has slots, each with room for one loaded model, and a slot runs up to
// [Options].PerSlot jobs at once. The jobs that can share a loaded model are a lane: by
// default those of one model, or what a [Laner] says. A slot keeps serving its lane while
// that has work, unless another lane has waited longer than [Options].MaxWait or has work
// of a higher priority. Within a lane, jobs run by priority; of one priority, those of
// different owners take turns, and the jobs of one owner run by age.
//
// # Where jobs live
//
// By default in one bbolt file and a directory beside it. Any [store.Store] that passes
// package storetest serves as well.
//
// [store.Store]: https://pkg.go.dev/github.com/foreman-go/foreman/store#Store
package foreman
