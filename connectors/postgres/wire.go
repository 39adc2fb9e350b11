package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// frameHeader is the size of a message's kind and length.
const frameHeader = 5

// closeTimeout bounds the farewell to a server.
const closeTimeout = 3 * time.Second

var errProtocol = errors.New("the server's answer is not a COPY stream")

// wire speaks the COPY part of the protocol directly on the connection, so that rows are read into
// and written from the chunk's own memory. Everything else goes through pgconn, which is idle then.
type wire struct {
	conn  net.Conn
	carry []byte // read but not yet handed over
	begun bool   // the stream's header was stripped
	err   error  // the server's error, reported at ReadyForQuery
}

// newWire takes an idle connection over until it is idle again.
func newWire(ctx context.Context, conn *pgconn.PgConn) (*wire, error) {
	if err := conn.SyncConn(ctx); err != nil {
		return nil, err
	}
	return &wire{conn: conn.Conn()}, nil
}

// watch breaks blocked reads and writes when ctx ends. The returned function stops that; told that there was
// no error, it lets the connection go on where the end came too late.
func (w *wire) watch(ctx context.Context) (stop func(err error)) {
	if ctx.Done() == nil {
		return func(error) {}
	}
	ended := ctx.Err() != nil
	if ended { // at once: the call could come through before a goroutine runs
		_ = w.conn.SetDeadline(time.Unix(1, 0))
	}
	broken := make(chan struct{})
	cancel := context.AfterFunc(ctx, func() {
		_ = w.conn.SetDeadline(time.Unix(1, 0))
		close(broken)
	})
	return func(err error) {
		if stopped := cancel(); !stopped {
			<-broken // it would break what follows
		} else if !ended {
			return
		}
		if err == nil {
			_ = w.conn.SetDeadline(time.Time{})
		}
	}
}

// send starts a simple query.
func (w *wire) send(sql string) error {
	message, err := (&pgproto3.Query{String: sql}).Encode(nil)
	if err != nil {
		return err
	}
	w.begun, w.err = false, nil
	_, err = w.conn.Write(message)
	return err
}

// fill appends whole frames of the COPY stream to block until it holds rows frames or its
// capacity of bytes, and returns it with the number of frames. done means that the stream ended.
func (w *wire) fill(block []byte, rows, sizeBytes int) (_ []byte, count int, done bool, err error) {
	block = append(block, w.carry...)
	w.carry = w.carry[:0]
	parsed := 0
	for {
		for count < rows {
			size, ok := frameSize(block[parsed:])
			if !ok {
				break
			}
			if block[parsed] == 'd' && w.begun {
				if size == frameHeader+2 && block[parsed+5] == 0xff && block[parsed+6] == 0xff {
					block = cut(block, parsed, size) // the trailer
					continue
				}
				parsed += size
				count++
				continue
			}
			if block, done, err = w.control(block, parsed, size); done || err != nil {
				w.carry = append(w.carry, block[parsed:]...)
				return block[:parsed], count, done, err
			}
		}
		if count >= rows || parsed > 0 && len(block) >= sizeBytes {
			w.carry = append(w.carry, block[parsed:]...)
			return block[:parsed], count, false, nil
		}
		if block, err = w.more(block, parsed); err != nil {
			return block[:parsed], count, false, err
		}
	}
}

// more reads what the socket has; a row longer than the block makes it grow.
func (w *wire) more(block []byte, parsed int) ([]byte, error) {
	const least = 4096
	if cap(block)-len(block) < least {
		need := max(2*cap(block), len(block)+64<<10)
		if len(block)-parsed >= frameHeader {
			need = max(need, parsed+int(binary.BigEndian.Uint32(block[parsed+1:]))+1+least)
		}
		grown := make([]byte, len(block), need)
		copy(grown, block)
		block = grown
	}
	n, err := w.conn.Read(block[len(block):cap(block)])
	block = block[:len(block)+n]
	if n > 0 {
		return block, nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return block, err
}

// frameSize returns the size of the message at the start of b when it is there as a whole.
func frameSize(b []byte) (int, bool) {
	if len(b) < frameHeader {
		return 0, false
	}
	size := int(binary.BigEndian.Uint32(b[1:])) + 1
	return size, size >= frameHeader && size <= len(b)
}

func cut(block []byte, at, size int) []byte {
	return append(block[:at], block[at+size:]...)
}

// control takes a message that is no row out of the block.
func (w *wire) control(block []byte, at, size int) (_ []byte, done bool, err error) {
	body := block[at+frameHeader : at+size]
	switch block[at] {
	case 'd':
		return w.header(block, at, size)
	case 'E':
		w.err = serverMessage(body)
	case 'Z':
		return cut(block, at, size), true, w.err
	case 'H', 'c', 'C', 'N', 'S', 'A', 'T', 'D', '1', '2', 'I':
	default:
		return block, false, fmt.Errorf("%w: message %q", errProtocol, block[at])
	}
	return cut(block, at, size), false, nil
}

// header strips the stream's header, which the first frame may hold before its row.
func (w *wire) header(block []byte, at, size int) ([]byte, bool, error) {
	const signature = "PGCOPY\n\xff\r\n\x00"
	const fixed = len(signature) + 8
	body := block[at+frameHeader : at+size]
	if len(body) < fixed || string(body[:len(signature)]) != signature {
		return block, false, fmt.Errorf("%w: no header", errProtocol)
	}
	extension := int(binary.BigEndian.Uint32(body[fixed-4:]))
	length := fixed + extension
	if extension < 0 || length > len(body) {
		return block, false, fmt.Errorf("%w: header of %d bytes", errProtocol, length)
	}
	w.begun = true
	if length == len(body) {
		return cut(block, at, size), false, nil
	}
	binary.BigEndian.PutUint32(block[at+1:], uint32(size-1-length))
	return cut(block, at+frameHeader, length), false, nil
}

func serverMessage(body []byte) error {
	var message pgproto3.ErrorResponse
	if err := message.Decode(body); err != nil {
		return fmt.Errorf("%w: %w", errProtocol, err)
	}
	return pgconn.ErrorResponseToPgError(&message)
}

// copyIn sends a query ending in COPY ... FROM STDIN with its frames, and waits for the server's
// verdict. The server ignores frames of a COPY it refused, so nothing waits in between.
func (w *wire) copyIn(sql string, binaryForm bool, frames [][]byte) error {
	begin, err := (&pgproto3.Query{String: sql}).Encode(nil)
	if err != nil {
		return err
	}
	var end []byte
	if binaryForm {
		begin = append(begin, 'd', 0, 0, 0, byte(4+len(copyHeader)))
		begin = append(begin, copyHeader...)
		end = append(end, 'd', 0, 0, 0, 6, 0xff, 0xff)
	}
	end = append(end, 'c', 0, 0, 0, 4)
	buffers := append(net.Buffers{begin}, frames...)
	buffers = append(buffers, end)
	if _, err := buffers.WriteTo(w.conn); err != nil {
		return err
	}
	return w.verdict()
}

// verdict reads messages up to ReadyForQuery, byte-exact so that pgconn can go on afterwards.
func (w *wire) verdict() error {
	var first error
	var head [frameHeader]byte
	for {
		if _, err := io.ReadFull(w.conn, head[:]); err != nil {
			return err
		}
		size := int(binary.BigEndian.Uint32(head[1:])) - 4
		if size < 0 || size > 1<<30 {
			return errProtocol
		}
		body := make([]byte, size)
		if _, err := io.ReadFull(w.conn, body); err != nil {
			return err
		}
		switch head[0] {
		case 'E':
			if first == nil {
				first = serverMessage(body)
			}
		case 'Z':
			return first
		}
	}
}
