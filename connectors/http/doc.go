// Package http reads and writes rows over HTTP: a client that fetches pages, a server that takes
// webhooks, and a sink that posts batches.
//
// Path of one page: poller.Read -> poller.request (position -> URL, body) -> client.do (auth,
// redirects, status -> error class) -> format.decode -> pager.next (where the stream continues) ->
// chunks of the page. Path of one webhook: receiver.take (checks, queue) -> receiver.Read (merges
// requests) -> format.decode; receiver.Ack -> the waiting responses. Out: sink.Write ->
// sink.encode -> client.do -> answer (which rows were refused).
//
// Invariants: a position names a page and the rows of it that were handed over. Credentials and
// configured headers go to the configured origin only, whatever redirects and next links say.
// invariant: a webhook is answered with 200 only after its rows are committed
// Errors are classified, never repeated here. Bodies and queues are bounded.
//
// The package knows nothing of the engine.
package http
