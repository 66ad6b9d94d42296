// Package webhook posts signed events to the URLs of receivers, and verifies
// what a receiver gets.
//
// It works alone. A [Dispatcher] delivers events in the background and keeps
// them in memory only. A [Sender] makes one attempt at one delivery and keeps
// nothing: it is the part for a caller that has its own durable outbox and
// decides with a [Schedule] when to try again. A [Guard] says which addresses
// may be dialed, so that a URL from a stranger cannot reach a private network.
//
// # What a receiver sees
//
// Each attempt is a POST of the same bytes, JSON in UTF-8, with these headers:
//
//	Content-Type         application/json
//	User-Agent           foreman-webhook/1
//	webhook-id           the same on every attempt at one event
//	webhook-timestamp    when this attempt was made, in Unix seconds
//	webhook-signature    v1,<base64 of HMAC-SHA256(key, id.timestamp.body)>,
//	                     once for each key, with spaces between
//	X-Foreman-Signature  sha256=<hex of HMAC-SHA256(secret, body)>
//
// The last two are left out when there is no secret. The webhook-* headers are
// those of Standard Webhooks (https://www.standardwebhooks.com), which has
// libraries for most languages. X-Foreman-Signature has the form of GitHub's
// X-Hub-Signature-256, and [VerifySignature] checks it. A [Verifier] checks the
// former, and its Handler is the whole of a receiver but for what it does.
//
// A receiver accepts an event with any status from 200 to 299. It should do so
// at once and work afterwards. Delivery is at least once: a receiver that saw
// a webhook-id before answers 200 again and does nothing more. 410 (Gone) ends
// all deliveries of the job; after any other answer the event is sent again, not
// earlier than a Retry-After header asks on 429 and 503. Redirects are not
// followed.
//
// # Secrets
//
// A secret is any string. Where it starts with "whsec_", the rest has to be
// base64, and its decoded bytes are the key of webhook-signature, as Standard
// Webhooks has it. For any other secret the key is the bytes of the secret;
// its receivers give their Standard Webhooks library "whsec_" followed by the
// base64 of the secret. X-Foreman-Signature always uses the bytes of the whole
// secret, with "whsec_" where it has it.
//
// To replace a secret without losing an event, give the new one as Secret and the
// old one in OldSecrets of [SenderOptions], with a time by which every receiver
// will know the new one. Until then webhook-signature has a signature with each,
// the new one first, and a receiver accepts any that it can verify, as the
// libraries of Standard Webhooks do. X-Foreman-Signature is never more than one
// signature, with the new secret: who verifies it has to try both secrets, or
// change at the same moment.
package webhook
