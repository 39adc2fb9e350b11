package expr

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"hash/crc32"

	"github.com/cespare/xxhash/v2"
)

const groupHash = "Hashes"

// hashFunctions are of the bytes of a text or binary; they are the same on every machine.
func hashFunctions() []entry {
	digest := func(name, doc, example string, sum func([]byte) []byte) entry {
		return entry{
			Function: Function{
				Group: groupHash, Signature: name + "(x: bytes) -> string", Doc: doc,
				Examples: []Example{{"left(" + name + "('abc'), 8)", example}},
			},
			run: func(f *frame, a []value) (value, string) {
				start := len(f.arena)
				f.arena = hex.AppendEncode(f.arena, sum(a[0].text))
				return textValue(f.arena[start:]), ""
			},
		}
	}
	return []entry{
		digest("md5", "The MD5 digest in hexadecimal.", "90015098", func(b []byte) []byte {
			s := md5.Sum(b)
			return s[:]
		}),
		digest("sha1", "The SHA-1 digest in hexadecimal.", "a9993e36", func(b []byte) []byte {
			s := sha1.Sum(b)
			return s[:]
		}),
		digest("sha256", "The SHA-256 digest in hexadecimal.", "ba7816bf", func(b []byte) []byte {
			s := sha256.Sum256(b)
			return s[:]
		}),
		digest("sha512", "The SHA-512 digest in hexadecimal.", "ddaf35a1", func(b []byte) []byte {
			s := sha512.Sum512(b)
			return s[:]
		}),
		{
			Function: Function{
				Group: groupHash, Signature: "xxhash64(x: bytes) -> uint64",
				Doc:      "The 64-bit xxHash with seed 0: fast, for sampling and partitioning.",
				Examples: []Example{{"xxhash64('abc')", "4952883123889572249"}},
			},
			run: func(_ *frame, a []value) (value, string) { return uintValue(xxhash.Sum64(a[0].text)), "" },
		},
		{
			Function: Function{
				Group: groupHash, Signature: "crc32(x: bytes) -> int64", Doc: "The IEEE CRC-32.",
				Examples: []Example{{"crc32('abc')", "891568578"}},
			},
			run: func(_ *frame, a []value) (value, string) {
				return intValue(int64(crc32.ChecksumIEEE(a[0].text))), ""
			},
		},
	}
}
