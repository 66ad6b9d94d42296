// Package ollama puts Foreman in front of an Ollama server.
//
// [Backend] runs jobs: the input of a job is the body of a call of /api/chat,
// /api/generate or /api/embed, or an envelope with that of another call, and is sent as
// it is. What the model says is streamed to whoever watches the job as it is generated,
// and the whole answer becomes the result and an artifact.
//
// Models are loaded when Foreman has decided so, and what no slot holds is unloaded
// before: see [Backend.Lane] and [Backend.Load].
//
// [Handler] serves callers that wait for the answer themselves, at the paths of Ollama.
// They take turns with the jobs, so that the server is never asked for more than the
// slots of the Foreman allow, and get what Ollama would have sent them. It works with
// any number of servers, each a part of [foreman.Pools], and with servers of OpenAI's
// API: see [OpenAIAPI].
package ollama
