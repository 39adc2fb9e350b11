package baostock

import (
	"bytes"
	"compress/flate"
	"compress/zlib"
	"math/rand/v2"
	"strings"
	"testing"
)

func compressed(t testing.TB, text []byte, level int) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := zlib.NewWriterLevel(&b, level)
	if err == nil {
		_, err = w.Write(text)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// samples are texts that compress in different ways: not at all, by repetition near and far, by codes of
// all lengths.
func samples() map[string][]byte {
	random := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 100_000)
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	skewed := make([]byte, 100_000) // symbols so rare that their codes are long
	for i := range skewed {
		n := 0
		for n < 200 && random.Uint32()%8 > 0 {
			n++
		}
		skewed[i] = byte(n)
	}
	_, rows := bars(2500)(fakeRequest{typ: 95, parts: []string{
		"", "", "1", "10000", "sh.600000", strings.Join(dailyFields, ","), "2000-01-01", "2020-01-01", "d", "3",
	}})
	return map[string][]byte{
		"empty": {}, "one": []byte("x"), "noise": noise, "skewed": skewed, "bars": []byte(records(rows)),
		"run":   bytes.Repeat([]byte("a"), 70_000),
		"near":  bytes.Repeat([]byte("abc"), 30_000),
		"words": []byte(strings.Repeat("to be or not to be, ", 5_000)),
		"far":   bytes.Join([][]byte{noise[:32_000], noise[:32_000], noise[:100]}, []byte("between")),
	}
}

// TestInflate expands samples of all levels, alone and behind memory that is too small or too large.
func TestInflate(t *testing.T) {
	for name, text := range samples() {
		for _, level := range []int{flate.HuffmanOnly, 0, 1, 6, 9} {
			stream := compressed(t, text, level)
			for _, memory := range [][]byte{nil, make([]byte, 0, 300), make([]byte, 10, 1<<20)} {
				got, err := inflate(memory, stream, maxFrame)
				if err != nil || !bytes.Equal(got, text) {
					t.Fatalf("%s of level %d: %d bytes, want %d: %v", name, level, len(got), len(text), err)
				}
			}
		}
	}
}

// TestInflateRefuses cuts and alters streams: none expands to something else.
func TestInflateRefuses(t *testing.T) {
	for name, text := range samples() {
		text = text[:min(len(text), 3000)]
		for _, level := range []int{flate.HuffmanOnly, 0, 1, 9} {
			stream := compressed(t, text, level)
			for n := range stream {
				if _, err := inflate(nil, stream[:n], maxFrame); err == nil {
					t.Fatalf("%s of level %d: %d bytes of %d were enough", name, level, n, len(stream))
				}
			}
			random := rand.New(rand.NewPCG(3, uint64(level)))
			for range 300 {
				broken := bytes.Clone(stream)
				broken[random.IntN(len(broken))] ^= 1 << random.IntN(8)
				if got, err := inflate(nil, broken, maxFrame); err == nil && !bytes.Equal(got, text) {
					t.Fatalf("%s of level %d: %x expands to something else", name, level, broken)
				}
			}
		}
	}
	stream := compressed(t, make([]byte, 5000), 9)
	if _, err := inflate(nil, stream, 4999); err == nil || !strings.Contains(err.Error(), "more than 4999 bytes") {
		t.Errorf("a bomb: %v", err)
	}
	if _, err := inflate(nil, append(stream, "ab"...), maxFrame); err == nil || !strings.Contains(err.Error(), "2 bytes follow") {
		t.Errorf("bytes behind: %v", err)
	}
}
