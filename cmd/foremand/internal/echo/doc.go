// Package echo is a model that is not one: it repeats the last user message, or the
// prompt, token by token. With it foremand can be tried out, and tested, with nothing
// else installed.
//
// It stands in for an Ollama server below the HTTP client, so that its jobs and its
// synchronous callers take every step that those of a real model do. The options of a
// request make it slow or make it fail:
//
//	delay           "50ms" before each token, at most "1m"
//	fail_attempts   2 fails the first two attempts of a job, which may be tried again
//	artifact_bytes  262144 makes a job leave an artifact "blob" of so many bytes
package echo

// Model is the name by which the echo model is asked for.
const Model = "echo"

// name is what its answers call it.
const name = "echo (not a model: repeats its input)"
