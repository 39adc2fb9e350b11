package excel

import (
	"archive/zip"
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/tapeline/tapeline/codec/container"
	"github.com/tapeline/tapeline/connector"
)

// Bounds of the parts of a workbook that are held in memory, decompressed.
const (
	maxPartBytes    = 16 << 20
	maxStringsBytes = 512 << 20
)

// workbook is an open xlsx file.
type workbook struct {
	name     string
	archive  *zip.Reader
	sheets   []sheetEntry
	date1904 bool
	strings  []string // shared by cells
	dates    []bool   // by cell style: whether numbers are shown as dates or times
}

// sheetEntry is one sheet by name and part.
type sheetEntry struct{ name, part string }

const magicOLE = "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"

func openWorkbook(f *container.File) (*workbook, error) {
	head := make([]byte, len(magicOLE))
	if n, err := f.ReadAt(head, 0); n == len(head) && string(head) == magicOLE {
		return nil, &connector.Error{
			Op: "read " + f.Name(), Class: connector.Permanent, Code: "excel_old_or_encrypted",
			Err:  errors.New("it is an xls file of before 2007, or protected by a password"),
			Hint: "save it as xlsx without a password",
		}
	} else if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	archive, err := zip.NewReader(f, f.SizeBytes)
	if err != nil {
		return nil, err
	}
	w := &workbook{name: f.Name(), archive: archive}
	if err := w.readSheets(); err != nil {
		return nil, err
	}
	if err := w.readStyles(); err != nil {
		return nil, fmt.Errorf("styles: %w", err)
	}
	if err := w.readStrings(); err != nil {
		return nil, fmt.Errorf("shared strings: %w", err)
	}
	return w, nil
}

// part opens a part of the archive; its end beyond limit is an error. nil: there is none.
func (w *workbook) part(name string, limit int64) (io.ReadCloser, error) {
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	at := slices.IndexFunc(w.archive.File, func(f *zip.File) bool { return strings.EqualFold(f.Name, name) })
	if at < 0 {
		return nil, nil
	}
	file, err := w.archive.File[at].Open()
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{&limited{file, limit}, file}, nil
}

// limited fails where more bytes follow than allowed.
type limited struct {
	io.Reader
	left int64
}

func (l *limited) Read(p []byte) (int, error) {
	n, err := l.Reader.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return 0, errors.New("it is larger than allowed when decompressed")
	}
	return n, err
}

// unmarshal reads a small part; a missing one leaves v as it is.
func (w *workbook) unmarshal(name string, v any) error {
	in, err := w.part(name, maxPartBytes)
	if err != nil || in == nil {
		return err
	}
	err = xml.NewDecoder(in).Decode(v)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return errors.Join(err, in.Close())
}

type relations struct {
	Relation []struct {
		ID     string `xml:"Id,attr"`
		Type   string `xml:"Type,attr"`
		Target string `xml:"Target,attr"`
	} `xml:"Relationship"`
}

// readSheets finds the workbook and its sheets in the order of their tabs.
func (w *workbook) readSheets() error {
	book := "xl/workbook.xml"
	var root relations
	if err := w.unmarshal("_rels/.rels", &root); err != nil {
		return err
	}
	for _, r := range root.Relation {
		if strings.HasSuffix(r.Type, "/officeDocument") {
			book = r.Target
		}
	}
	var content struct {
		Properties struct {
			Date1904 string `xml:"date1904,attr"`
		} `xml:"workbookPr"`
		Sheets []struct {
			Name string     `xml:"name,attr"`
			Attr []xml.Attr `xml:",any,attr"`
		} `xml:"sheets>sheet"`
	}
	if err := w.unmarshal(book, &content); err != nil {
		return err
	}
	folder, file := path.Split(strings.TrimPrefix(book, "/"))
	var targets relations
	if err := w.unmarshal(folder+"_rels/"+file+".rels", &targets); err != nil {
		return err
	}
	w.date1904 = content.Properties.Date1904 == "1" || content.Properties.Date1904 == "true"
	for _, s := range content.Sheets {
		for _, attr := range s.Attr {
			if attr.Name.Local != "id" {
				continue
			}
			for _, r := range targets.Relation {
				if r.ID == attr.Value && strings.HasSuffix(r.Type, "/worksheet") {
					w.sheets = append(w.sheets, sheetEntry{s.Name, resolve(folder, r.Target)})
				}
			}
		}
	}
	if len(w.sheets) == 0 {
		return errors.New("it has no sheet")
	}
	return nil
}

func resolve(folder, target string) string {
	if strings.HasPrefix(target, "/") {
		return target
	}
	return folder + target
}

// find returns a sheet by name, or by number from 1.
func (w *workbook) find(sheet string) (sheetEntry, error) {
	if sheet == "" {
		return w.sheets[0], nil
	}
	names := make([]string, len(w.sheets))
	for i, s := range w.sheets {
		if names[i] = s.name; s.name == sheet {
			return s, nil
		}
	}
	if n, err := strconv.Atoi(sheet); err == nil && n >= 1 && n <= len(w.sheets) {
		return w.sheets[n-1], nil
	}
	return sheetEntry{}, &connector.Error{
		Op: "read " + w.name, Class: connector.Permanent, Path: "sheet",
		Err: fmt.Errorf("there is no sheet %q; it has %s", sheet, strings.Join(names, ", ")),
	}
}

// readStyles notes which cell styles show numbers as dates.
func (w *workbook) readStyles() error {
	var content struct {
		Formats []struct {
			ID   int    `xml:"numFmtId,attr"`
			Code string `xml:"formatCode,attr"`
		} `xml:"numFmts>numFmt"`
		Cells []struct {
			Format int `xml:"numFmtId,attr"`
		} `xml:"cellXfs>xf"`
	}
	if err := w.unmarshal("xl/styles.xml", &content); err != nil {
		return err
	}
	custom := map[int]bool{}
	for _, f := range content.Formats {
		custom[f.ID] = isDateFormat(f.Code)
	}
	for _, c := range content.Cells {
		date, ok := custom[c.Format]
		if !ok {
			date = isBuiltInDate(c.Format)
		}
		w.dates = append(w.dates, date)
	}
	return nil
}

// isBuiltInDate knows the numbers of built-in formats, those of East Asian versions included.
func isBuiltInDate(format int) bool {
	return format >= 14 && format <= 22 || format >= 27 && format <= 36 ||
		format >= 45 && format <= 47 || format >= 50 && format <= 58
}

// isDateFormat looks for a letter of a date or time outside quotes, escapes and brackets.
func isDateFormat(code string) bool {
	code, _, _ = strings.Cut(code, ";")
	for i := 0; i < len(code); i++ {
		switch code[i] {
		case '"', '[':
			end := strings.IndexByte(code[i+1:], map[byte]byte{'"': '"', '[': ']'}[code[i]])
			if end < 0 {
				return false
			}
			inner := strings.ToLower(code[i+1 : i+1+end])
			if code[i] == '[' && inner != "" && strings.Trim(inner, "hms") == "" {
				return true // elapsed time, as [h]
			}
			i += end + 1
		case '\\', '_', '*':
			i++
		case 'y', 'm', 'd', 'h', 's', 'Y', 'M', 'D', 'H', 'S':
			return true
		case 'G', 'g': // General
			return false
		}
	}
	return false
}

// readStrings holds the shared strings; formatting runs are joined, phonetic hints left out.
func (w *workbook) readStrings() error {
	in, err := w.part("xl/sharedStrings.xml", maxStringsBytes)
	if err != nil || in == nil {
		return err
	}
	decoder := xml.NewDecoder(in)
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return in.Close()
		}
		if err != nil {
			return errors.Join(err, in.Close())
		}
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == "si" {
			text, err := richText(decoder, "si")
			if err != nil {
				return errors.Join(err, in.Close())
			}
			w.strings = append(w.strings, text)
		}
	}
}

// richText joins the t elements up to the end of an element.
func richText(decoder *xml.Decoder, until string) (string, error) {
	var text bytes.Buffer
	inText, phonetic := false, 0
	for {
		token, err := decoder.Token()
		if err != nil {
			return "", err
		}
		switch token := token.(type) {
		case xml.StartElement:
			inText = token.Name.Local == "t"
			if token.Name.Local == "rPh" {
				phonetic++
			}
		case xml.EndElement:
			inText = false
			if token.Name.Local == "rPh" {
				phonetic--
			}
			if token.Name.Local == until {
				return unescape(text.String()), nil
			}
		case xml.CharData:
			if inText && phonetic == 0 {
				text.Write(token)
			}
		}
	}
}

// unescape resolves _xHHHH_, which stands for characters that XML does not allow.
func unescape(text string) string {
	const form = len("_x0000_")
	at := strings.Index(text, "_x")
	if at < 0 {
		return text
	}
	var out strings.Builder
	for at >= 0 {
		out.WriteString(text[:at])
		text = text[at:]
		if len(text) >= form && text[form-1] == '_' {
			if v, err := strconv.ParseUint(text[2:form-1], 16, 16); err == nil {
				out.WriteRune(rune(v))
				text = text[form:]
				at = strings.Index(text, "_x")
				continue
			}
		}
		out.WriteString(text[:2])
		text = text[2:]
		at = strings.Index(text, "_x")
	}
	out.WriteString(text)
	return out.String()
}
