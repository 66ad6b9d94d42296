// Plays scenes with the clients of Ollama and OpenAI against the server at the URL that
// is given, and prints a line for each: what the client saw. The model that does nothing
// special is llama3, or the one that is named next; if scenes are named after that, no
// others are played.
import { Ollama } from 'ollama'
import OpenAI from 'openai'

const [base, model = 'llama3', ...only] = process.argv.slice(2)
const ollama = new Ollama({ host: base })
const openai = new OpenAI({ baseURL: base + '/v1', apiKey: 'none', maxRetries: 0 })

const messages = [{ role: 'user', content: 'one <two> three' }]
const prompt = 'one <two> three'

// What differs from one time to the next is left out.
const passing = /^(id|item_id|created|created_at|completed_at|modified_at|expires_at|.*_duration)$/
function plain(v) {
  if (Array.isArray(v)) return v.map(plain)
  if (v === null || typeof v !== 'object') return v
  const kept = Object.entries(v).filter(([k, w]) => !passing.test(k) && typeof w !== 'function')
  return Object.fromEntries(kept.map(([k, w]) => [k, plain(w)]))
}

function failure(e) {
  const out = { name: e.constructor.name, status: e.status_code ?? e.status, type: e.type, code: e.code, message: e.message }
  if (e.name !== 'Error') out.kind = e.name
  return out
}

// All parts of a stream, and how it ended if not well.
async function parts(stream) {
  const out = { parts: [] }
  try {
    for await (const part of await stream) out.parts.push(plain(part))
  } catch (e) {
    out.error = failure(e)
  }
  return out
}

// How a stream ends that is aborted after three parts; how many more come is chance.
async function aborted(stream, abort) {
  let read = 0
  try {
    for await (const _ of stream) if (++read === 3) abort(stream)
  } catch (e) {
    return { enough: read >= 3, error: failure(e) }
  }
  return { enough: read >= 3 }
}

// Only the error: the parts before it may be lost with it.
async function brokenOff(stream) {
  const { error } = await parts(stream)
  return { error }
}

const scenes = {
  'ollama: version': () => ollama.version(),
  'ollama: list': () => ollama.list(),
  'ollama: show': () => ollama.show({ model }),
  'ollama: chat': () => ollama.chat({ model, messages }),
  'ollama: chat, streamed': () => parts(ollama.chat({ model, messages, stream: true })),
  'ollama: chat, thinking and tools': () => parts(ollama.chat({ model: 'talks', messages, stream: true })),
  'ollama: generate': () => ollama.generate({ model, prompt }),
  'ollama: generate, streamed': () => parts(ollama.generate({ model, prompt, stream: true })),
  'ollama: generate, cut by num_predict': () => ollama.generate({ model, prompt, options: { num_predict: 2 } }),
  'ollama: embed': () => ollama.embed({ model, input: ['one', 'two three'] }),
  'ollama: embeddings': () => ollama.embeddings({ model, prompt: 'one' }),
  'ollama: load': () => ollama.generate({ model, prompt: '', keep_alive: '1h' }),
  'ollama: ps': () => ollama.ps(),
  'ollama: unload': () => ollama.chat({ model, messages: [], keep_alive: 0 }),
  'ollama: unknown model, chat': () => ollama.chat({ model: 'none', messages }),
  'ollama: unknown model, streamed': () => parts(ollama.chat({ model: 'none', messages, stream: true })),
  'ollama: unknown model, generate': () => ollama.generate({ model: 'none', prompt }),
  'ollama: unknown model, embed': () => ollama.embed({ model: 'none', input: 'one' }),
  'ollama: no model': () => ollama.chat({ model: '', messages }),
  'ollama: bad option': () => ollama.chat({ model, messages, options: { num_ctx: 'many' } }),
  'ollama: bad format': () => ollama.generate({ model, prompt, format: 'xml' }),
  'ollama: busy': () => ollama.chat({ model: 'busy', messages }),
  'ollama: aborted': async () => aborted(await ollama.chat({ model: 'slow', messages, stream: true }), (s) => s.abort()),
  'ollama: repeats itself': () => parts(ollama.chat({ model: 'repeats', messages, stream: true })),
  'ollama: dies': () => parts(ollama.chat({ model: 'dies', messages, stream: true })),
  'ollama: dies, not streamed': () => ollama.chat({ model: 'dies', messages }),
  'ollama: is cut off': () => brokenOff(ollama.chat({ model: 'cut', messages, stream: true })),

  'openai: models': async () => (await openai.models.list()).data.map((m) => [m.id, m.owned_by]),
  'openai: model': async () => (await openai.models.retrieve(model)).id,
  'openai: unknown model, retrieved': () => openai.models.retrieve('none'),
  'openai: chat': () => openai.chat.completions.create({ model, messages }),
  'openai: chat, streamed': () => parts(openai.chat.completions.create({ model, messages, stream: true })),
  'openai: chat, streamed with usage': () =>
    parts(openai.chat.completions.create({ model, messages, stream: true, stream_options: { include_usage: true } })),
  'openai: chat, thinking and tools': () => parts(openai.chat.completions.create({ model: 'talks', messages, stream: true })),
  'openai: chat, cut by max_tokens': () => openai.chat.completions.create({ model, messages, max_tokens: 2 }),
  'openai: completions': () => openai.completions.create({ model, prompt }),
  'openai: completions, streamed': () => parts(openai.completions.create({ model, prompt, stream: true })),
  'openai: embeddings': () => openai.embeddings.create({ model, input: ['one', 'two three'] }),
  'openai: embeddings, as floats': () => openai.embeddings.create({ model, input: 'one', encoding_format: 'float' }),
  'openai: responses': () => openai.responses.create({ model, input: prompt }),
  'openai: responses, streamed': () => parts(openai.responses.create({ model, input: prompt, stream: true })),
  'openai: responses, thinking and tools': () => parts(openai.responses.create({ model: 'talks', input: prompt, stream: true })),
  'openai: unknown model, chat': () => openai.chat.completions.create({ model: 'none', messages }),
  'openai: unknown model, streamed': () => parts(openai.chat.completions.create({ model: 'none', messages, stream: true })),
  'openai: unknown model, embeddings': () => openai.embeddings.create({ model: 'none', input: 'one' }),
  'openai: unknown model, responses': () => openai.responses.create({ model: 'none', input: prompt }),
  'openai: no model': () => openai.chat.completions.create({ messages }),
  'openai: no messages': () => openai.chat.completions.create({ model, messages: [] }),
  'openai: bad option': () => openai.chat.completions.create({ model, messages, max_tokens: 'many' }),
  'openai: busy': () => openai.chat.completions.create({ model: 'busy', messages }),
  'openai: aborted': async () =>
    aborted(await openai.chat.completions.create({ model: 'slow', messages, stream: true }), (s) => s.controller.abort()),
  'openai: repeats itself': () => parts(openai.chat.completions.create({ model: 'repeats', messages, stream: true })),
  'openai: dies': () => parts(openai.chat.completions.create({ model: 'dies', messages, stream: true })),
  'openai: dies, not streamed': () => openai.chat.completions.create({ model: 'dies', messages }),
  'openai: is cut off': () => brokenOff(openai.chat.completions.create({ model: 'cut', messages, stream: true })),
}

for (const [scene, play] of Object.entries(scenes)) {
  if (only.length > 0 && !only.includes(scene)) continue
  let saw
  try {
    saw = plain(await play())
  } catch (e) {
    saw = { error: failure(e) }
  }
  console.log(JSON.stringify({ scene, saw }))
}
