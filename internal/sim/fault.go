package sim

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Rule is one line of a fault script: when, at which requests, what happens.
type Rule struct {
	text   string
	when   string // at, every, from, with
	number int64
	chance float64
	kinds  []string // types of requests; none: all
	action action
	span   time.Duration // of stall
	size   int           // of pagecap and status
	code   string        // of error
}

// action is what a rule does.
type action string

// The actions.
const (
	faultReset     action = "reset"     // the connection is reset in the middle of the answer
	faultDrop      action = "drop"      // the connection is closed instead of an answer
	faultStall     action = "stall"     // nothing is sent for a while in the middle of the answer
	faultCRC       action = "crc"       // the check sum is wrong
	faultTruncate  action = "truncate"  // the zlib stream ends early, in a well-formed frame
	faultError     action = "error"     // an answer of type 04 with that code
	faultDuplicate action = "duplicate" // a row comes twice
	faultMissing   action = "missing"   // a row in the middle is left out
	faultUnsorted  action = "unsorted"  // two rows change places
	faultShort     action = "short"     // only the first half of the rows, as a success
	faultPageCap   action = "pagecap"   // from now on answers hold fewer rows
	faultRestate   action = "restate"   // the market switches to its restated version
	faultGBK       action = "gbk"       // names come in GBK instead of UTF-8
	faultStatus    action = "status"    // an HTTP status instead of the answer
	faultGarbage   action = "garbage"   // a page of HTML as a success
	faultNull      action = "null"      // the values of a row are null; of yahoo
	faultFail      action = "fail"      // an error of the service as a success; of tushare
)

// needsRows reports whether the action alters rows: fewer than two leave it without effect.
func (a action) needsRows() bool {
	return a == faultDuplicate || a == faultMissing || a == faultUnsorted || a == faultShort
}

// String returns the rule as written.
func (r Rule) String() string { return r.text }

// ParseFaults reads a fault script: one rule per line, # begins a comment. A rule is
//
//	WHEN [on TYPE[,TYPE...]]: ACTION [ARGUMENT]
//
// WHEN is `at N`, `every N`, `from N` (counted over the requests of the types, all by default) or
// `with P` (a chance from 0 to 1, decided by the seed); TYPE is a request's two digits, such as 95.
// Actions: reset, drop, stall DURATION, crc, truncate, error CODE, duplicate, missing, unsorted, short,
// pagecap ROWS, restate, gbk.
func ParseFaults(script string) ([]Rule, error) {
	return parseScript(script, dialect{
		kind: func(kind string) error {
			if len(kind) != 2 || !digits([]byte(kind)) {
				return fmt.Errorf("type %q: want two digits, such as 95", kind)
			}
			return nil
		},
		arguments: map[action]int{
			faultStall: 1, faultError: 1, faultPageCap: 1, faultReset: 0, faultDrop: 0, faultCRC: 0, faultTruncate: 0,
			faultDuplicate: 0, faultMissing: 0, faultUnsorted: 0, faultShort: 0, faultRestate: 0, faultGBK: 0,
		},
	})
}

// ParseWebFaults reads a fault script of an HTTP service, in which TYPE is a kind of request.
// Actions: reset, drop, stall DURATION, truncate, status CODE, garbage, duplicate, missing, unsorted,
// short, null, fail, pagecap ROWS.
func ParseWebFaults(script string, kinds []string) ([]Rule, error) {
	return parseScript(script, dialect{
		kind: func(kind string) error {
			if !slices.Contains(kinds, kind) {
				return fmt.Errorf("kind %q: want one of %s", kind, strings.Join(kinds, ", "))
			}
			return nil
		},
		arguments: map[action]int{
			faultStall: 1, faultStatus: 1, faultPageCap: 1, faultReset: 0, faultDrop: 0, faultTruncate: 0,
			faultGarbage: 0, faultNull: 0, faultFail: 0, faultDuplicate: 0, faultMissing: 0, faultUnsorted: 0, faultShort: 0,
		},
	})
}

// dialect is what the scripts of a protocol may say.
type dialect struct {
	kind      func(kind string) error // nil: there is such a kind of request
	arguments map[action]int          // how many each action takes
}

func parseScript(script string, d dialect) ([]Rule, error) {
	var rules []Rule
	for i, line := range strings.Split(script, "\n") {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		r, err := parseRule(line, d)
		if err != nil {
			return nil, fmt.Errorf("fault script line %d: %q: %w", i+1, line, err)
		}
		rules = append(rules, r)
	}
	return rules, nil
}

func parseRule(line string, d dialect) (Rule, error) {
	r := Rule{text: line}
	when, what, ok := strings.Cut(line, ":")
	if !ok {
		return r, fmt.Errorf("no colon; want e.g. `every 100 on 95: reset`")
	}
	words := strings.Fields(when)
	if len(words) == 4 && words[2] == "on" {
		r.kinds = strings.Split(words[3], ",")
		words = words[:2]
	}
	for _, kind := range r.kinds {
		if err := d.kind(kind); err != nil {
			return r, err
		}
	}
	if len(words) != 2 {
		return r, fmt.Errorf("want `at N`, `every N`, `from N` or `with P`, then perhaps `on TYPES`")
	}
	r.when = words[0]
	var err error
	switch r.when {
	case "at", "every", "from":
		if r.number, err = strconv.ParseInt(words[1], 10, 64); err != nil || r.number < 1 {
			return r, fmt.Errorf("number %q: want 1 or more", words[1])
		}
	case "with":
		if r.chance, err = strconv.ParseFloat(words[1], 64); err != nil || !(r.chance >= 0 && r.chance <= 1) {
			return r, fmt.Errorf("chance %q: want 0 to 1", words[1])
		}
	default:
		return r, fmt.Errorf("%q: want at, every, from or with", r.when)
	}
	return r, r.parseAction(strings.Fields(what), d)
}

func (r *Rule) parseAction(words []string, d dialect) error {
	if len(words) == 0 {
		return fmt.Errorf("no action behind the colon")
	}
	r.action = action(words[0])
	wanted, known := d.arguments[r.action]
	if !known {
		return fmt.Errorf("unknown action %q", words[0])
	}
	if len(words)-1 != wanted {
		return fmt.Errorf("%s takes %d arguments, got %d", r.action, wanted, len(words)-1)
	}
	var err error
	switch r.action {
	case faultStall:
		if r.span, err = time.ParseDuration(words[1]); err != nil || r.span < 0 {
			return fmt.Errorf("stall %q: want a duration as 30s", words[1])
		}
	case faultPageCap:
		if r.size, err = strconv.Atoi(words[1]); err != nil || r.size < 1 {
			return fmt.Errorf("pagecap %q: want 1 row or more", words[1])
		}
	case faultStatus:
		if r.size, err = strconv.Atoi(words[1]); err != nil || r.size < 200 || r.size > 599 {
			return fmt.Errorf("status %q: want one of HTTP, 200 to 599", words[1])
		}
	case faultError:
		if r.code = words[1]; len(r.code) != 8 || !digits([]byte(r.code)) {
			return fmt.Errorf("code %q: want eight digits, such as 10005001", words[1])
		}
	}
	return nil
}

// script decides which rules strike.
type script struct {
	mu     sync.Mutex
	rules  []Rule
	counts []int64 // matching requests so far, by rule
	seed   uint64
}

func newScript(rules []Rule, seed uint64) *script {
	return &script{rules: rules, counts: make([]int64, len(rules)), seed: seed}
}

// next returns the rules that strike a request of that type, in the order of the script.
func (s *script) next(kind string) []Rule {
	s.mu.Lock()
	defer s.mu.Unlock()
	var struck []Rule
	for i, r := range s.rules {
		if len(r.kinds) > 0 && !slices.Contains(r.kinds, kind) {
			continue
		}
		s.counts[i]++
		n := s.counts[i]
		hit := false
		switch r.when {
		case "at":
			hit = n == r.number
		case "every":
			hit = n%r.number == 0
		case "from":
			hit = n >= r.number
		case "with":
			hit = chance(mix(s.seed^mix(0x6661756c74, uint64(i)), uint64(n)), r.chance)
		}
		if hit {
			struck = append(struck, r)
		}
	}
	return struck
}
