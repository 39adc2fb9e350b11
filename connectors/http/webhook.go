package http

import (
	"bytes"
	"crypto/subtle"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"io"
	nethttp "net/http"
	"time"

	"github.com/tapeline/tapeline/codec/json"
)

// refusal is an answer to a request that is not taken.
type refusal struct {
	status int
	reason string
}

// serve answers one request.
func (s *receiver) serve(w nethttp.ResponseWriter, r *nethttp.Request) {
	if no := s.admit(w, r); no != nil {
		refuse(w, *no)
		return
	}
	reserved, no := s.reserve(r.ContentLength)
	if no != nil {
		refuse(w, *no)
		return
	}
	defer s.leave()
	d, no := s.receive(w, r)
	if no == nil {
		no = s.enqueue(d, reserved)
	} else {
		s.giveBack(reserved)
	}
	switch {
	case no != nil:
		refuse(w, *no)
	case s.cfg.Reply == "accepted":
		w.WriteHeader(nethttp.StatusAccepted)
	default:
		s.await(w, r, d)
	}
}

func refuse(w nethttp.ResponseWriter, no refusal) {
	const soon = "1"
	if no.status == nethttp.StatusTooManyRequests || no.status == nethttp.StatusServiceUnavailable {
		w.Header().Set("Retry-After", soon)
	}
	nethttp.Error(w, no.reason, no.status)
}

// admit checks what is known before the body.
func (s *receiver) admit(w nethttp.ResponseWriter, r *nethttp.Request) *refusal {
	switch {
	case r.URL.Path != s.cfg.Path:
		return &refusal{nethttp.StatusNotFound, "no such path"}
	case r.Method != nethttp.MethodPost && r.Method != nethttp.MethodPut:
		w.Header().Set("Allow", "POST, PUT")
		return &refusal{nethttp.StatusMethodNotAllowed, "use POST"}
	case s.cfg.Token != "" && subtle.ConstantTimeCompare(
		[]byte(r.Header.Get("Authorization")), []byte("Bearer "+s.cfg.Token)) != 1:
		w.Header().Set("WWW-Authenticate", "Bearer")
		return &refusal{nethttp.StatusUnauthorized, "want the bearer token"}
	case r.Header.Get("Content-Encoding") != "" && r.Header.Get("Content-Encoding") != "identity":
		return &refusal{nethttp.StatusUnsupportedMediaType, "compressed bodies are not taken"}
	case r.ContentLength > s.most:
		return s.tooLong()
	}
	return nil
}

func (s *receiver) tooLong() *refusal {
	return &refusal{
		nethttp.StatusRequestEntityTooLarge, fmt.Sprintf("a body may have %d bytes", s.most),
	}
}

// reserve makes room for a body of the announced length, -1 for unknown.
func (s *receiver) reserve(length int64) (reserved int64, no *refusal) {
	if length < 0 {
		length = s.most
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed || s.failed != nil:
		return 0, &refusal{nethttp.StatusServiceUnavailable, "stopping"}
	case s.waiting >= s.cfg.Queue || len(s.queue) >= s.cfg.Queue || s.bytes+length > max(queueBytes, s.most):
		return 0, &refusal{nethttp.StatusTooManyRequests, "the queue is full"}
	}
	s.waiting++
	s.bytes += length
	return length, nil
}

func (s *receiver) giveBack(reserved int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes -= reserved
}

func (s *receiver) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting--
}

// receive reads and checks the body.
func (s *receiver) receive(w nethttp.ResponseWriter, r *nethttp.Request) (*delivery, *refusal) {
	body, err := io.ReadAll(nethttp.MaxBytesReader(w, r.Body, s.most))
	var long *nethttp.MaxBytesError
	switch {
	case errors.As(err, &long):
		return nil, s.tooLong()
	case err != nil:
		return nil, &refusal{nethttp.StatusBadRequest, "the body broke off"}
	}
	d := &delivery{body: body, done: make(chan int, 1)}
	switch s.cfg.Format {
	case "json":
		d.body, d.rows, err = unpack(body, s.cfg.Records)
	case "ndjson":
		d.rows, err = checkLines(body)
	default:
		d.rows = bytes.Count(body, []byte{'\n'}) + 1
	}
	if err != nil {
		return nil, &refusal{nethttp.StatusBadRequest, err.Error()}
	}
	return d, nil
}

// enqueue hands a delivery to Read; reserved becomes the bytes it has.
func (s *receiver) enqueue(d *delivery, reserved int64) *refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes -= reserved
	if s.closed {
		return &refusal{nethttp.StatusServiceUnavailable, "stopping"}
	}
	s.bytes += int64(len(d.body))
	s.queue = append(s.queue, d)
	s.signal()
	return nil
}

// await answers when the delivery is committed, or will not be.
func (s *receiver) await(w nethttp.ResponseWriter, r *nethttp.Request, d *delivery) {
	timer := time.NewTimer(s.cfg.ReplyWait)
	defer timer.Stop()
	status := nethttp.StatusServiceUnavailable
	select {
	case status = <-d.done:
	case <-timer.C:
	case <-r.Context().Done():
		return
	}
	switch status {
	case nethttp.StatusOK:
		w.WriteHeader(status)
	case nethttp.StatusUnprocessableEntity:
		refuse(w, refusal{status, "the body does not fit the columns"})
	default:
		refuse(w, refusal{status, "not committed yet: send it again"})
	}
}

// unpack returns the records of a JSON body as values one after the other.
func unpack(body []byte, records string) (values []byte, n int, err error) {
	if !json.Valid(body) {
		return nil, 0, errors.New("the body is not one JSON value")
	}
	value, found := lookup(body, records)
	if value = bytes.TrimSpace(value); !found {
		return nil, 0, fmt.Errorf("the body has no %s", records)
	}
	switch {
	case value[0] == '[':
		var elements []stdjson.RawMessage
		if err := stdjson.Unmarshal(value, &elements); err != nil {
			return nil, 0, err
		}
		for _, element := range elements {
			values = append(append(values, element...), '\n')
		}
		return values, len(elements), nil
	case value[0] == 'n' && records != "":
		return nil, 0, nil
	}
	return value, 1, nil
}

// checkLines counts the records of an NDJSON body.
func checkLines(body []byte) (n int, err error) {
	line := 0
	for text := range bytes.Lines(body) {
		line++
		if text = bytes.TrimSpace(text); len(text) == 0 {
			continue
		}
		if !json.Valid(text) {
			return 0, fmt.Errorf("line %d is not JSON", line)
		}
		n++
	}
	return n, nil
}
