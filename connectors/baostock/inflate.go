package baostock

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/adler32"
	"math/bits"
	"slices"
	"sync"
)

// inflater expands zlib streams that are in memory as a whole. Knowing all of the input and of the
// output, it needs no window of its own, no call per byte and no state between calls, for which a reader
// of streams takes about as long again.
type inflater struct {
	literals  [1<<literalBits + literalMore]uint32
	distances [1<<distanceBits + distanceMore]uint32
	lengths   [maxLiterals + maxDistances]uint8 // of the codes of a block

	src  []byte
	at   int    // in src
	hold uint64 // bits taken from src and not used yet
	held uint   // how many
}

var inflaters = sync.Pool{New: func() any { return &inflater{} }}

// Codes of up to so many bits are found by one look into a table. Of longer ones the table has a part for
// each beginning, which two of them share at least.
const (
	maxCode      = 15
	maxLiterals  = 288
	maxDistances = 32
	literalBits  = 11
	literalMore  = maxLiterals / 2 << (maxCode - literalBits)
	distanceBits = 8
	distanceMore = maxDistances / 2 << (maxCode - distanceBits)
)

// An entry of a table: bits 0-5 how many bits it takes with its extra ones, bits 8-11 how many of them are
// the code's, bits 16-31 its value; what kind it is, in between. The zero entry stands for no code.
const (
	entryLiteral = 1 << 15
	entryEnd     = 1 << 14
	entryTable   = 1 << 13 // its value is where the rest of the code is looked up, by so many bits
	entryTakes   = 0x3f
	entryCode    = 8
	entryShift   = 16
)

var (
	errZlib      = errors.New("it is no zlib stream")
	errTruncated = errors.New("the stream ends too early")
	errCode      = errors.New("the stream has a code that stands for nothing")
	errFar       = errors.New("the stream refers to what lies before it")
)

// inflate returns what the stream expands to, in dst, which may grow. More than most bytes are refused.
func inflate(dst, stream []byte, most int) ([]byte, error) {
	const header, trailer = 2, 4
	if len(stream) < header+trailer {
		return dst, errTruncated
	}
	head := binary.BigEndian.Uint16(stream)
	const method, window, dictionary = 0x0f00, 0xf000, 0x20
	if head&method != 0x0800 || head&window > 0x7000 || head%31 != 0 || head&dictionary != 0 {
		return dst, errZlib
	}
	z := inflaters.Get().(*inflater)
	defer inflaters.Put(z)
	z.src, z.at, z.hold, z.held = stream[header:], 0, 0, 0
	dst, err := z.blocks(dst[:0], most)
	if err != nil {
		return dst, err
	}
	z.at -= int(z.held / 8)
	rest := z.src[min(z.at, len(z.src)):]
	switch {
	case len(rest) < trailer:
		return dst, errTruncated
	case len(rest) > trailer:
		return dst, fmt.Errorf("%d bytes follow the stream", len(rest)-trailer)
	case binary.BigEndian.Uint32(rest) != adler32.Checksum(dst):
		return dst, errors.New("the stream's checksum is wrong")
	}
	return dst, nil
}

// blocks expands all blocks.
func (z *inflater) blocks(dst []byte, most int) (_ []byte, err error) {
	for last := false; !last; {
		if !z.need(3) {
			return dst, errTruncated
		}
		head := z.take(3)
		last = head&1 != 0
		switch head >> 1 {
		case 0:
			dst, err = z.stored(dst, most)
		case 1:
			if err = z.fixed(); err == nil {
				dst, err = z.block(dst, most)
			}
		case 2:
			if err = z.dynamic(); err == nil {
				dst, err = z.block(dst, most)
			}
		default:
			err = errCode
		}
		if err != nil {
			return dst, err
		}
	}
	return dst, nil
}

// need makes sure that n bits are held, 32 at most.
func (z *inflater) need(n uint) bool {
	for z.held < n {
		if z.at == len(z.src) {
			return false
		}
		z.hold |= uint64(z.src[z.at]) << z.held
		z.at++
		z.held += 8
	}
	return true
}

// take uses n bits that are held.
func (z *inflater) take(n uint) uint {
	out := uint(z.hold & (1<<n - 1))
	z.hold >>= n
	z.held -= n
	return out
}

// stored copies a block that is not compressed.
func (z *inflater) stored(dst []byte, most int) ([]byte, error) {
	z.at -= int(z.held / 8)
	z.hold, z.held = 0, 0
	if len(z.src)-z.at < 4 {
		return dst, errTruncated
	}
	size := int(binary.LittleEndian.Uint16(z.src[z.at:]))
	if size != int(^binary.LittleEndian.Uint16(z.src[z.at+2:])) {
		return dst, errCode
	}
	z.at += 4
	switch {
	case len(z.src)-z.at < size:
		return dst, errTruncated
	case len(dst)+size > most:
		return dst, fmt.Errorf("more than %d bytes", most)
	}
	dst = append(dst, z.src[z.at:z.at+size]...)
	z.at += size
	return dst, nil
}

// fixed prepares the codes that every decoder knows.
func (z *inflater) fixed() error {
	lengths := z.lengths[:maxLiterals+maxDistances]
	for i := range lengths {
		switch {
		case i < 144:
			lengths[i] = 8
		case i < 256:
			lengths[i] = 9
		case i < 280:
			lengths[i] = 7
		case i < maxLiterals:
			lengths[i] = 8
		default:
			lengths[i] = 5
		}
	}
	return z.tables(maxLiterals, maxDistances)
}

// codeOrder is in which order a block says the lengths of the codes for lengths.
var codeOrder = [...]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// dynamic reads the codes of a block.
func (z *inflater) dynamic() error {
	if !z.need(14) {
		return errTruncated
	}
	literals, distances, codes := int(z.take(5))+257, int(z.take(5))+1, int(z.take(4))+4
	if literals > maxLiterals-2 || distances > maxDistances-2 {
		return errCode
	}
	var short [len(codeOrder)]uint8
	for _, symbol := range codeOrder[:codes] {
		if !z.need(3) {
			return errTruncated
		}
		short[symbol] = uint8(z.take(3))
	}
	const shortBits = 7
	var table [1 << shortBits]uint32
	if !build(table[:], short[:], shortBits, func(symbol int) uint32 { return uint32(symbol) << entryShift }) {
		return errCode
	}
	for i := 0; i < literals+distances; {
		// Without enough bits at the end of the stream, zeros stand for them and the check is below.
		z.need(shortBits)
		entry := table[z.hold&(1<<shortBits-1)]
		n := uint(entry & entryTakes)
		switch {
		case entry == 0:
			return errCode
		case n > z.held:
			return errTruncated
		}
		z.take(n)
		symbol := uint8(entry >> entryShift)
		if symbol < 16 {
			z.lengths[i] = symbol
			i++
			continue
		}
		value, extra, times := uint8(0), uint(2), 3
		switch symbol {
		case 16:
			if i == 0 {
				return errCode
			}
			value = z.lengths[i-1]
		case 17:
			extra = 3
		default:
			extra, times = 7, 11
		}
		if !z.need(extra) {
			return errTruncated
		}
		if times += int(z.take(extra)); i+times > literals+distances {
			return errCode
		}
		for range times {
			z.lengths[i] = value
			i++
		}
	}
	return z.tables(literals, distances)
}

// lengthBase and the like are what symbols mean: a base, and how many bits are added to it.
var (
	lengthBase = [...]uint16{
		3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258,
	}
	lengthExtra = [...]uint8{
		0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0,
	}
	distanceBase = [...]uint16{
		1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145,
		8193, 12289, 16385, 24577,
	}
	distanceExtra = [...]uint8{
		0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13,
	}
)

// endOfBlock is the symbol that ends a block; those behind it are lengths.
const endOfBlock = 256

// tables makes the tables of a block from the lengths of its codes.
func (z *inflater) tables(literals, distances int) error {
	ok := build(z.literals[:], z.lengths[:literals], literalBits, func(symbol int) uint32 {
		switch at := symbol - endOfBlock - 1; {
		case symbol < endOfBlock:
			return uint32(symbol)<<entryShift | entryLiteral
		case symbol == endOfBlock:
			return entryEnd
		case at < len(lengthBase):
			return uint32(lengthBase[at])<<entryShift | uint32(lengthExtra[at])
		}
		return 0
	})
	ok = ok && build(z.distances[:], z.lengths[literals:literals+distances], distanceBits, func(symbol int) uint32 {
		if symbol >= len(distanceBase) {
			return 0
		}
		return uint32(distanceBase[symbol])<<entryShift | uint32(distanceExtra[symbol])
	})
	if !ok {
		return errCode
	}
	return nil
}

// build fills a table by the lengths of the codes of symbols: each code stands, its first bit lowest, in
// every entry that ends in it. mean gives an entry without what the code takes; 0: the symbol means
// nothing. ok is false unless the codes leave no gap; one code of one bit may.
func build(table []uint32, lengths []uint8, width uint, mean func(symbol int) uint32) (ok bool) {
	var count [maxCode + 1]int
	for _, n := range lengths {
		count[n]++
	}
	count[0] = 0
	code, total, longest := 0, 0, uint(0)
	var next [maxCode + 1]int
	for n := 1; n <= maxCode; n++ {
		code <<= 1
		next[n] = code
		if code += count[n]; count[n] > 0 {
			longest = uint(n)
		}
		total += count[n] << (maxCode - n)
	}
	clear(table[:1<<width])
	if longest == 0 {
		return true // nothing can be read with it
	}
	if total != 1<<maxCode && (longest != 1 || total != 1<<(maxCode-1)) {
		return false
	}
	end := 1 << width // of the tables so far
	for symbol, n := range lengths {
		if n == 0 {
			continue
		}
		length := uint(n)
		reversed := int(bits.Reverse16(uint16(next[n])) >> (16 - length))
		next[n]++
		entry := mean(symbol)
		if entry != 0 || symbol == 0 {
			entry += uint32(length)<<entryCode + uint32(length)
		}
		if length <= width {
			for i := reversed; i < 1<<width; i += 1 << length {
				table[i] = entry
			}
			continue
		}
		low := reversed & (1<<width - 1)
		if table[low] == 0 {
			deeper := longest - width
			clear(table[end : end+1<<deeper])
			table[low] = uint32(end)<<entryShift | entryTable | uint32(deeper)
			end += 1 << deeper
		}
		pointer := table[low]
		from, deeper := int(pointer>>entryShift), uint(pointer&entryTakes)
		for i := reversed >> width; i < 1<<deeper; i += 1 << (length - width) {
			table[from+i] = entry
		}
	}
	return true
}

// Most that one symbol writes: the longest match, which is copied in words.
const (
	word      = 8
	matchRoom = 258 + word
)

// block expands the symbols of a block.
func (z *inflater) block(dst []byte, most int) (_ []byte, err error) {
	for ended := false; !ended && err == nil; {
		if cap(dst)-len(dst) < 2*matchRoom {
			dst = slices.Grow(dst, max(len(dst), 4*len(z.src), readStep))
		}
		if dst, ended, err = z.quick(dst); err == nil && !ended {
			dst, ended, err = z.careful(dst)
		}
		if len(dst) > most {
			return dst, fmt.Errorf("more than %d bytes", most)
		}
	}
	return dst, err
}

// careful expands one symbol, wherever the stream ends.
func (z *inflater) careful(dst []byte) (_ []byte, ended bool, err error) {
	entry, err := z.symbol(z.literals[:], literalBits)
	switch {
	case err != nil:
		return dst, false, err
	case entry&entryLiteral != 0:
		return append(dst, byte(entry>>entryShift)), false, nil
	case entry&entryEnd != 0:
		return dst, true, nil
	}
	length, ok := z.value(entry)
	if !ok {
		return dst, false, errTruncated
	}
	if entry, err = z.symbol(z.distances[:], distanceBits); err != nil {
		return dst, false, err
	}
	distance, ok := z.value(entry)
	switch {
	case !ok:
		return dst, false, errTruncated
	case distance > len(dst):
		return dst, false, errFar
	}
	for range length {
		dst = append(dst, dst[len(dst)-distance])
	}
	return dst, false, nil
}

// symbol takes the next code.
func (z *inflater) symbol(table []uint32, width uint) (uint32, error) {
	z.need(maxCode) // the end of the stream may have fewer
	entry := table[z.hold&(1<<width-1)]
	if entry&entryTable != 0 {
		entry = table[entry>>entryShift+uint32(z.hold>>width)&(1<<(entry&entryTakes)-1)]
	}
	n := uint(entry >> entryCode & maxCode)
	switch {
	case n > z.held:
		return 0, errTruncated
	case entry == 0:
		return 0, errCode
	}
	z.take(n)
	return entry, nil
}

// value is that of a code whose extra bits come next.
func (z *inflater) value(entry uint32) (int, bool) {
	extra := uint(entry&entryTakes) - uint(entry>>entryCode&maxCode)
	if !z.need(extra) {
		return 0, false
	}
	return int(entry>>entryShift) + int(z.take(extra)), true
}

// quick expands symbols as long as neither the stream nor the room in dst may end within one.
func (z *inflater) quick(dst []byte) (_ []byte, ended bool, err error) {
	src, at, hold, held := z.src, z.at, z.hold, z.held
	out, o := dst[:cap(dst)], len(dst)
	for at+2*word <= len(src) && o+matchRoom+2 <= len(out) {
		hold |= binary.LittleEndian.Uint64(src[at:]) << (held & 63)
		at += int((63 - held) >> 3)
		held |= 56
		entry := z.literals[hold&(1<<literalBits-1)]
		for range 2 { // two more fit into what is held
			if entry&entryLiteral == 0 {
				break
			}
			out[o] = byte(entry >> entryShift)
			o++
			hold >>= entry & entryTakes
			held -= uint(entry & entryTakes)
			entry = z.literals[hold&(1<<literalBits-1)]
		}
		if entry&entryTable != 0 {
			entry = z.literals[entry>>entryShift+uint32(hold>>literalBits)&(1<<(entry&entryTakes)-1)]
		}
		takes := uint(entry & entryTakes)
		if entry&(entryLiteral|entryEnd) != 0 || entry == 0 {
			hold >>= takes
			held -= takes
			if entry&entryLiteral != 0 {
				out[o] = byte(entry >> entryShift)
				o++
				continue
			}
			if ended = true; entry == 0 {
				err = errCode
			}
			break
		}
		length := int(entry>>entryShift) + int(hold&(1<<takes-1)>>(entry>>entryCode&maxCode))
		hold >>= takes
		held -= takes
		hold |= binary.LittleEndian.Uint64(src[at:]) << (held & 63)
		at += int((63 - held) >> 3)
		held |= 56
		entry = z.distances[hold&(1<<distanceBits-1)]
		if entry&entryTable != 0 {
			entry = z.distances[entry>>entryShift+uint32(hold>>distanceBits)&(1<<(entry&entryTakes)-1)]
		}
		takes = uint(entry & entryTakes)
		distance := int(entry>>entryShift) + int(hold&(1<<takes-1)>>(entry>>entryCode&maxCode))
		hold >>= takes
		held -= takes
		if entry == 0 {
			err = errCode
			break
		}
		if distance > o {
			err = errFar
			break
		}
		repeat(out[o-distance:o+length+word], distance)
		o += length
	}
	z.at, z.hold, z.held = at, hold, held
	return dst[:o], ended, err
}

// repeat fills what lies behind the first bytes, distance of them, with them over and over; the last word
// may be written over.
func repeat(text []byte, distance int) {
	end := len(text) - word
	if distance < word {
		for to := distance; to < end; to++ {
			text[to] = text[to-distance]
		}
		return
	}
	for from, to := 0, distance; to < end; from, to = from+word, to+word {
		binary.LittleEndian.PutUint64(text[to:], binary.LittleEndian.Uint64(text[from:]))
	}
}
