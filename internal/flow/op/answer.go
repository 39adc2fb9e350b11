package op

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/maypok86/otter/v2"

	"github.com/tapeline/tapeline/batch"
)

// answer is what a lookup said about one key.
type answer struct {
	key    string
	record []byte // the row, by appendRecord
	fault  string // why the row does not fit its columns
	found  bool
	asked  bool // not from the cache
}

// answerCache keeps answers in memory of their own: a cached row pins no batch.
type answerCache struct{ answers *otter.Cache[string, answer] }

// newAnswerCache returns a cache, empty for good when it may hold nothing.
func newAnswerCache(config CacheConfig) *answerCache {
	if config.MaxEntries == 0 {
		return &answerCache{}
	}
	options := &otter.Options[string, answer]{
		MaximumSize: config.MaxEntries,
		// Evictions run in the caller, so that the cache starts no goroutine per entry.
		Executor: func(f func()) { f() },
	}
	if config.TTL > 0 || config.NegativeTTL > 0 {
		options.ExpiryCalculator = otter.ExpiryWritingFunc(func(e otter.Entry[string, answer]) time.Duration {
			ttl := config.TTL
			if !e.Value.found && config.NegativeTTL > 0 {
				ttl = config.NegativeTTL
			}
			if ttl == 0 {
				return math.MaxInt64
			}
			return ttl
		})
	}
	return &answerCache{answers: otter.Must(options)}
}

func (c *answerCache) get(key string) (answer, bool) {
	if c.answers == nil {
		return answer{}, false
	}
	return c.answers.GetIfPresent(key)
}

func (c *answerCache) put(a answer) {
	if c.answers == nil {
		return
	}
	a.asked = false
	c.answers.Set(a.key, a)
}

func (c *answerCache) close() {
	if c.answers != nil {
		c.answers.StopAllGoroutines()
	}
}

// appendRecord encodes one row of dense columns without nested types: per column a byte for NULL,
// then 8 or 16 bytes, or a length and bytes.
func appendRecord(dst []byte, columns []*batch.Column, row int) []byte {
	for _, c := range columns {
		if c.IsNull(row) {
			dst = append(dst, 0)
			continue
		}
		dst = append(dst, 1)
		switch typ := c.Type(); {
		case typ.Text():
			text := c.Bytes(row)
			dst = append(binary.AppendUvarint(dst, uint64(len(text))), text...)
		case typ.Kind == batch.Decimal:
			v := batch.Values[decimal128.Num](c)[row]
			dst = binary.LittleEndian.AppendUint64(dst, uint64(v.HighBits()))
			dst = binary.LittleEndian.AppendUint64(dst, v.LowBits())
		default:
			dst = binary.LittleEndian.AppendUint64(dst, wordOf(c, row))
		}
	}
	return dst
}

// wordOf returns a value of at most 8 bytes as a word.
func wordOf(c *batch.Column, row int) uint64 {
	switch typ := c.Type(); {
	case typ.Kind == batch.Bool:
		if c.Bits().Get(row) {
			return 1
		}
		return 0
	case typ.Kind == batch.Float32 || typ.Kind == batch.Float64:
		return math.Float64bits(c.Float(row))
	case typ.Kind >= batch.Uint8 && typ.Kind <= batch.Uint64:
		return c.Uint(row)
	}
	return uint64(c.Int(row))
}

// readRecord appends a row that appendRecord wrote.
func readRecord(record []byte, appenders []*batch.Appender) {
	for _, a := range appenders {
		null := record[0] == 0
		if record = record[1:]; null {
			a.Null()
			continue
		}
		switch typ := a.Type(); {
		case typ.Text():
			length, n := binary.Uvarint(record)
			record = record[n:]
			a.Bytes(record[:length])
			record = record[length:]
		case typ.Kind == batch.Decimal:
			high, low := binary.LittleEndian.Uint64(record), binary.LittleEndian.Uint64(record[8:])
			a.Decimal(decimal128.New(int64(high), low))
			record = record[16:]
		default:
			putWord(a, binary.LittleEndian.Uint64(record))
			record = record[8:]
		}
	}
}

func putWord(a *batch.Appender, word uint64) {
	switch kind := a.Type().Kind; kind {
	case batch.Bool:
		a.Bool(word == 1)
	case batch.Float32, batch.Float64:
		a.Float(math.Float64frombits(word))
	default:
		a.Int(int64(word))
	}
}
