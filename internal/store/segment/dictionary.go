package segment

import "bytes"

// maxDictionaryBytes bounds the texts of one column of one row group.
const maxDictionaryBytes = 1 << 30

// maxBoundBytes is how long a text may be to stand in statistics.
const maxBoundBytes = 64

// dictionary is the distinct texts of one column of one row group, and each row's code.
type dictionary struct {
	codes   []int32
	offsets []int32
	bytes   []byte
	byText  map[string]int32
	byID    map[int32]int32
}

func (d *dictionary) reset() {
	d.codes, d.offsets, d.bytes = d.codes[:0], append(d.offsets[:0], 0), d.bytes[:0]
	if d.byText == nil {
		d.byText, d.byID = map[string]int32{}, map[int32]int32{}
	}
	clear(d.byText)
	clear(d.byID)
}

func (d *dictionary) len() int { return len(d.offsets) - 1 }

func (d *dictionary) text(code int) []byte { return d.bytes[d.offsets[code]:d.offsets[code+1]] }

func (d *dictionary) add(text []byte) int32 {
	code, ok := d.byText[string(text)]
	if !ok {
		code = int32(d.len())
		d.byText[string(text)] = code
		d.bytes = append(d.bytes, text...)
		d.offsets = append(d.offsets, int32(len(d.bytes)))
	}
	return code
}

// addTexts adds rows from..to-1 of a String column; the code of a NULL is 0.
func (d *dictionary) addTexts(v *Vector, from, to int) {
	last, lastCode := []byte(nil), int32(-1)
	for row := from; row < to; row++ {
		if v.Null(row) {
			d.codes = append(d.codes, 0)
			continue
		}
		if text := v.Text(row); lastCode < 0 || !bytes.Equal(text, last) {
			last, lastCode = text, d.add(text)
		}
		d.codes = append(d.codes, lastCode)
	}
}

// addIDs adds the texts of ids.
func (d *dictionary) addIDs(ids []int32, symbol func(int32) (string, error)) error {
	for i, id := range ids {
		if i > 0 && id == ids[i-1] {
			d.codes = append(d.codes, d.codes[i-1])
			continue
		}
		code, ok := d.byID[id]
		if !ok {
			text, err := symbol(id)
			if err != nil {
				return err
			}
			code = d.add([]byte(text))
			d.byID[id] = code
		}
		d.codes = append(d.codes, code)
	}
	return nil
}

// bounds returns the least and the greatest text, nil when there is none or one is long.
func (d *dictionary) bounds() (least, most []byte) {
	for code := range d.len() {
		text := d.text(code)
		if len(text) > maxBoundBytes {
			return nil, nil
		}
		if code == 0 || bytes.Compare(text, least) < 0 {
			least = text
		}
		if code == 0 || bytes.Compare(text, most) > 0 {
			most = text
		}
	}
	return bytes.Clone(least), bytes.Clone(most)
}
