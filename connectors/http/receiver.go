package http

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	nethttp "net/http"
	"sync"
	"time"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
)

// receiver is the webhook server as a source.
type receiver struct {
	cfg    SourceConfig
	env    connector.Env
	format format
	most   int64 // bytes of one body

	server *nethttp.Server
	listen net.Listener
	served sync.WaitGroup

	read   uint64        // Read: deliveries handed over whole
	open   *openBody     // Read: being handed over
	arrive chan struct{} // one token when the queue may have something
	quit   chan struct{}

	mu      sync.Mutex
	queue   []*delivery // to be read, in order
	bytes   int64       // of the bodies in the queue, and reserved for those on their way
	waiting int         // requests whose handler runs
	replies []*delivery // read and not yet committed, in order
	closed  bool
	failed  error // of the listener
}

// delivery is one request on its way.
type delivery struct {
	body   []byte
	rows   int // records, about
	number uint64
	done   chan int // gets the status once
}

// openBody is a decoded merge of deliveries.
type openBody struct {
	pending
	before, last uint64 // numbers of the delivery before its first, and of its last
}

var (
	_ connector.Source     = (*receiver)(nil)
	_ connector.Discoverer = (*receiver)(nil)
)

// queueBytes bounds the bodies that wait to be read; at least one of the longest fits.
const queueBytes = 64 << 20

func newReceiver(env connector.Env, cfg *SourceConfig) (connector.Source, error) {
	s := &receiver{
		cfg: *cfg, env: env, most: int64(cfg.MaxBodyBytes),
		arrive: make(chan struct{}, 1), quit: make(chan struct{}),
	}
	if s.most == 0 {
		s.most = defaultHookBytes
	}
	if env.Log == nil {
		s.env.Log = slog.New(slog.DiscardHandler)
	}
	var err error
	s.format, err = newFormat(&s.cfg)
	if f, ok := s.format.(*jsonFormat); ok {
		f.loose = true
	}
	return s, err
}

// Open begins to listen. Requests of an earlier run that were not answered come again by their
// senders.
func (s *receiver) Open(_ context.Context, _ connector.Partition, at connector.Position) error {
	fail := func(err error) error {
		return &connector.Error{Op: "listen at " + s.cfg.Listen, Class: connector.Permanent, Err: err}
	}
	if at != nil {
		p, err := parsePosition(at)
		if err != nil {
			return fail(err)
		}
		s.read = p.Served
	}
	listen, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", s.cfg.Listen)
	if err != nil {
		return fail(err)
	}
	const (
		headerWait = 10 * time.Second
		bodyWait   = time.Minute
		idleWait   = 2 * time.Minute
		headerSize = 64 << 10
	)
	s.listen = listen
	s.server = &nethttp.Server{
		Handler: nethttp.HandlerFunc(s.serve), ReadHeaderTimeout: headerWait, ReadTimeout: bodyWait,
		IdleTimeout: idleWait, MaxHeaderBytes: headerSize,
		ErrorLog: slog.NewLogLogger(s.env.Log.Handler(), slog.LevelDebug),
	}
	s.served.Go(func() {
		if err := s.server.Serve(listen); !errors.Is(err, nethttp.ErrServerClosed) {
			s.mu.Lock()
			s.failed = err
			s.mu.Unlock()
			s.signal()
		}
	})
	s.env.Log.Info("listening for webhooks", "address", listen.Addr().String(), "path", s.cfg.Path)
	return nil
}

func (s *receiver) signal() {
	select {
	case s.arrive <- struct{}{}:
	default:
	}
}

// Read merges waiting requests into one chunk, or hands over the rest of the last merge.
func (s *receiver) Read(ctx context.Context) (connector.Chunk, error) {
	for {
		if s.open != nil && s.open.more() {
			return s.hand(), nil
		}
		if err := ctx.Err(); err != nil {
			return connector.Chunk{}, err
		}
		taken, err := s.dequeue(s.env.Budget.Limits())
		if err != nil {
			return connector.Chunk{}, err
		}
		if len(taken) > 0 {
			s.decode(taken)
			continue
		}
		if err := s.wait(ctx); err != nil {
			return connector.Chunk{}, err
		}
	}
}

// wait returns when the queue may have something.
func (s *receiver) wait(ctx context.Context) error {
	defer s.env.Idled(time.Now())
	select {
	case <-s.arrive:
		return nil
	case <-s.quit:
		return io.ErrClosedPipe
	case <-ctx.Done():
		return ctx.Err()
	}
}

// dequeue takes as many deliveries as one batch may have, at least one if there is one.
func (s *receiver) dequeue(limits connector.Limits) ([]*delivery, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return nil, io.ErrClosedPipe
	case s.failed != nil:
		return nil, &connector.Error{
			Op: "listen at " + s.cfg.Listen, Class: connector.Transient, Err: s.failed,
		}
	}
	rows, size, n := 0, 0, 0
	for _, d := range s.queue {
		rows, size = rows+d.rows, size+len(d.body)
		// Tables have headers, so they cannot be joined.
		if n > 0 && (rows > limits.Rows || size > limits.Bytes || s.cfg.Format == "csv") {
			break
		}
		s.bytes -= int64(len(d.body))
		n++
	}
	taken := s.queue[:n:n]
	if s.queue = s.queue[n:]; len(s.queue) == 0 {
		s.queue = nil
	}
	return taken, nil
}

// decode makes rows of deliveries. One that does not decode is answered with 422, or becomes a
// dead letter where its sender was answered already.
func (s *receiver) decode(taken []*delivery) {
	var body []byte
	if len(taken) == 1 {
		body = taken[0].body
	} else {
		for _, d := range taken {
			if body = append(body, d.body...); !bytes.HasSuffix(body, []byte{'\n'}) {
				body = append(body, '\n')
			}
		}
	}
	for i, d := range taken {
		d.number = s.read + uint64(i) + 1
	}
	before, last := s.read, s.read+uint64(len(taken))
	name := fmt.Sprintf("%s request %d", s.cfg.Path, s.read+1)
	rows, err := s.format.decode(body, name)
	if err != nil {
		rows = decoded{}
		if s.cfg.Reply == "accepted" {
			const kept = 64 << 10
			rows.rejected = []connector.Rejected{{Reason: err.Error(), Record: string(body[:min(len(body), kept)])}}
			rows.rejected[0].Place.Name, rows.rejected[0].Place.Record = s.cfg.Path, int64(last)
		} else {
			for _, d := range taken {
				d.done <- nethttp.StatusUnprocessableEntity
			}
			taken = nil
		}
	}
	s.read = last
	s.open = &openBody{pending{decoded: rows, bytes: len(body)}, before, last}
	if !s.open.more() {
		s.open = nil
		for _, d := range taken {
			d.done <- nethttp.StatusOK // it had no records
		}
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		for _, d := range taken {
			d.done <- nethttp.StatusServiceUnavailable
		}
		return
	}
	s.replies = append(s.replies, taken...)
}

// hand returns the next chunk of the open merge. Only the last one moves the position.
func (s *receiver) hand() connector.Chunk {
	chunk := s.open.cut(s.env.Budget.Limits())
	at := position{Run: s.env.Run, Served: s.open.last}
	if s.open.more() {
		at.Served = s.open.before
	} else {
		s.open.end()
	}
	chunk.Position = at.encode()
	return chunk
}

// Discover returns declared columns.
func (s *receiver) Discover(context.Context) (*batch.Schema, error) { return s.cfg.columns() }

// Ack answers the requests up to the position.
// invariant: a webhook is answered with 200 only after its rows are committed
func (s *receiver) Ack(_ context.Context, at connector.Position) error {
	p, err := parsePosition(at)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for n < len(s.replies) && s.replies[n].number <= p.Served {
		s.replies[n].done <- nethttp.StatusOK
		n++
	}
	s.replies = s.replies[n:]
	return nil
}

// Close answers every waiting request with 503 and stops listening.
func (s *receiver) Close() error {
	s.mu.Lock()
	again := s.closed
	s.closed = true
	left := append(s.queue, s.replies...)
	s.queue, s.replies = nil, nil
	s.mu.Unlock()
	if again {
		return nil
	}
	close(s.quit)
	for _, d := range left {
		d.done <- nethttp.StatusServiceUnavailable
	}
	if s.server == nil {
		return nil
	}
	const grace = 2 * time.Second
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	err := s.server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = s.server.Close() // bodies that are still on their way
	}
	s.served.Wait()
	return err
}
