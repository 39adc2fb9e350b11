package excel

import (
	"archive/zip"
	"bytes"
	"testing"
)

// archive returns a workbook of one sheet with the given XML.
func archive(t *testing.T, sheetXML []byte) []byte {
	t.Helper()
	const relation = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/"
	parts := []struct{ name, text string }{
		{"_rels/.rels", `<Relationships><Relationship Id="r1" Type="` + relation + `officeDocument" Target="xl/workbook.xml"/></Relationships>`},
		{"xl/workbook.xml", `<workbook xmlns:r="` + relation + `"><sheets><sheet name="s" sheetId="1" r:id="r1"/></sheets></workbook>`},
		{"xl/_rels/workbook.xml.rels", `<Relationships><Relationship Id="r1" Type="` + relation + `worksheet" Target="worksheets/sheet1.xml"/></Relationships>`},
		{"xl/sharedStrings.xml", `<sst><si><r><t>sh</t></r><r><t>ared</t></r></si></sst>`},
		{"xl/styles.xml", `<styleSheet><cellXfs><xf numFmtId="0"/><xf numFmtId="22"/></cellXfs></styleSheet>`},
		{"xl/worksheets/sheet1.xml", string(sheetXML)},
	}
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, part := range parts {
		entry, err := w.Create(part.name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := entry.Write([]byte(part.text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
