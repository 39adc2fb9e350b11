package http

const doc = `**Client source.** Fetches ` + "`url`" + `, follows ` + "`pagination`" + ` and, with ` + "`poll`" + `, begins again after
that time. A position names the page and how many rows of it were handed over: resuming is exact
at page borders, and within a page as long as the server answers it the same way.

    sources:
      orders:
        type: http
        config:
          url: https://api.example.com/v1/orders
          auth: {bearer: "${API_TOKEN}"}
          records: $.data.items
          pagination: {type: cursor, param: after, next: $.meta.next, size: 500}
          incremental: {param: updated_since, field: updated_at, initial_value: "2024-01-01"}
          poll: 1m

In ` + "`url`, `query`, `headers` and `body`" + ` stand ` + "`$${since}`, `$${page}`, `$${offset}`, `$${cursor}` and `$${size}`" + `
for the values of the request (the doubled dollar keeps them from the substitution of environment
variables). A value written this way is not sent as the usual parameter too, unless one is named.

` + "`page` and `offset`" + ` end at the first page without records, since servers may send fewer than asked
for; ` + "`link` and `cursor`" + ` at the page that names no next one. A next link to another origin is
refused, and a redirect to one goes without credentials and configured headers.

` + "`incremental`" + ` keeps the greatest value of a column, compared as numbers where both are, else as
text (so times need one zone and one spelling), and sends it with the next poll or run. Whether
the server then repeats the records that have exactly this value is its choice; dedupe by key
removes them.

Of statuses, 429 (and 403, 503 with Retry-After) asks to wait, other 5xx, 408, 425, timeouts and broken
connections may pass, 401 and 403 are credentials, the rest is permanent. What may pass is asked for
again in place, up to ten times in a row and not before Retry-After; then execution.restart_strategy
decides. The first reading after a restart does not wait for ` + "`poll`" + `.

**Webhook server.** With ` + "`listen`" + ` instead of ` + "`url`" + ` the source takes POST and PUT requests:

    sources:
      events: {type: http, config: {listen: "127.0.0.1:8080", path: /events, token: "${TOKEN}"}}

A sender is answered 200 when its rows are committed, which takes up to a checkpoint interval; after
any other answer, or none, it sends again: at-least-once. ` + "`reply: accepted`" + ` answers 202 at once, and
a crash or stop loses what was not committed. 400 is for bodies that do not parse (none of their
rows is taken), 413 for long ones, 429 with Retry-After for a full queue, 503 while stopping. It
speaks plain HTTP: let a proxy end TLS.

**Sink.** Sends ` + "`batch_size`" + ` rows per request. 400, 413 and 422 send the halves again, down to the row
that is refused and becomes a dead letter. A 207 answer lists results of rows: refused ones become
dead letters, throttled and failed ones are sent again alone. Delivery is at-least-once: a request
whose answer was lost is repeated with the same key in ` + "`idempotency_header`" + ` (run, writer, and a hash of
position and body), also after a restart that cuts batches alike.

    destinations:
      out: {type: http, inputs: [orders], config: {url: "https://example.com/in", format: json}}
`
