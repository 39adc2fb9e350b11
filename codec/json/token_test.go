package json

import (
	"encoding/json"
	"strings"
	"testing"
)

func seeds() []string {
	return []string{
		`{"a":1,"b":"x","c":[1,2,{"d":null}],"e":true}`, ` [ ] `, `{}`, `""`, `-0.5e+10`, `01`, `1.`, `.5`,
		`"\u00e9\ud83d\ude00\n"`, `"\x"`, "\"a\tb\"", "\"\xff\"", `[1,]`, `{"a":1,}`, `{"a" 1}`, `{"a":}`, `[1 2]`,
		`nul`, `truefalse`, `{"a":1}x`, `"日本語テキスト"`, `[[[[[[]]]]]]`, `{"a":{"a":{"a":[{}]}}}`, `-`, `1e`, `]`,
		`"abcdefg\"hijklmnopq\\rst"`, `{"é":1}`, `[`, `{"a`, "\ufeff{}", `{"a":1 , "b" : [ 1 , 2 ] }`, `{1:2}`, "{\"a\":1}\n",
	}
}

// depthOf returns the nesting of JSON text, counting brackets outside strings.
func depthOf(text string) int {
	deepest, depth, inside := 0, 0, false
	for i := 0; i < len(text); i++ {
		switch ch := text[i]; {
		case inside && ch == '\\':
			i++
		case ch == '"':
			inside = !inside
		case !inside && (ch == '[' || ch == '{'):
			depth++
			deepest = max(deepest, depth)
		case !inside && (ch == ']' || ch == '}'):
			depth--
		}
	}
	return deepest
}

// oracle is the standard library's judgement, which differs in knowing no UTF-8 and more depth.
func oracle(text string) bool {
	return json.Valid([]byte(text)) && validUTF8(text) && depthOf(text) <= MaxDepth
}

func validUTF8(text string) bool { return strings.ToValidUTF8(text, "?") == text }

func TestValidAgreesWithStandardLibrary(t *testing.T) {
	deep := strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth)
	mixed := strings.Repeat(`{"a":[`, MaxDepth/2) + strings.Repeat("]}", MaxDepth/2)
	for _, text := range append(seeds(), deep, "["+deep+"]", mixed, "["+mixed+"]") {
		if got, want := Valid([]byte(text)), oracle(text); got != want {
			t.Errorf("%.60q: valid %t, want %t", text, got, want)
		}
	}
}

func FuzzValid(f *testing.F) {
	for _, text := range seeds() {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if got, want := Valid([]byte(text)), oracle(text); got != want {
			t.Errorf("%q: valid %t, want %t", text, got, want)
		}
	})
}
