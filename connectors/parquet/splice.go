package parquet

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"

	"github.com/tapeline/tapeline/connector"

	"github.com/apache/arrow-go/v18/parquet/metadata"
)

// magic begins and ends every Parquet file; a footer is followed by its length and magic.
const (
	magic     = "PAR1"
	tailBytes = 4 + len(magic)
)

// splicer joins Parquet files of one schema into one without decoding a page: the bytes between
// head and footer are copied, and the footer's offsets shifted.
type splicer struct {
	offset int64 // of the next byte in the joined file; 0: nothing is written
	footer *metadata.FileMetaData
}

// head returns what comes before the next file's pages.
func (s *splicer) head() []byte {
	if s.offset > 0 {
		return nil
	}
	return []byte(magic)
}

// add notes that a file's pages, whose length is given, come next, after head.
func (s *splicer) add(footer *metadata.FileMetaData, pagesLength int64) error {
	if s.offset == 0 {
		s.offset = int64(len(magic))
	}
	shift := s.offset - int64(len(magic))
	first := 0
	if s.footer != nil {
		first = len(s.footer.RowGroups)
	}
	for i, group := range footer.RowGroups {
		// The number is optional, and too narrow for a run of many checkpoints.
		group.Ordinal = nil
		if first+i <= math.MaxInt16 {
			ordinal := int16(first + i)
			group.Ordinal = &ordinal
		}
		shiftBy(group.FileOffset, shift)
		for _, column := range group.Columns {
			if column.FileOffset > 0 {
				column.FileOffset += shift
			}
			column.MetaData.DataPageOffset += shift
			shiftBy(column.MetaData.DictionaryPageOffset, shift)
			shiftBy(column.MetaData.IndexPageOffset, shift)
		}
	}
	s.offset += pagesLength
	if s.footer == nil {
		s.footer = footer
		return nil
	}
	return s.footer.AppendRowGroups(footer)
}

func shiftBy(offset *int64, shift int64) {
	if offset != nil && *offset > 0 {
		*offset += shift
	}
}

// tail returns the joined file's footer and forgets everything.
func (s *splicer) tail() ([]byte, error) {
	var b bytes.Buffer
	if _, err := s.footer.WriteTo(&b, nil); err != nil {
		return nil, fmt.Errorf("encode footer: %w", err)
	}
	length := b.Len()
	*s = splicer{}
	return append(binary.LittleEndian.AppendUint32(b.Bytes(), uint32(length)), magic...), nil
}

// readFooter reads the footer of a file we wrote, and where its pages end.
func readFooter(r io.ReaderAt, size int64) (footer *metadata.FileMetaData, end int64, err error) {
	tail := make([]byte, tailBytes)
	if size < int64(len(magic)+tailBytes) {
		return nil, 0, io.ErrUnexpectedEOF
	}
	if _, err := r.ReadAt(tail, size-int64(tailBytes)); err != nil {
		return nil, 0, err
	}
	length := int64(binary.LittleEndian.Uint32(tail))
	end = size - int64(tailBytes) - length
	if string(tail[4:]) != magic || end < int64(len(magic)) {
		return nil, 0, errors.New("it does not end as a Parquet file")
	}
	data := make([]byte, length)
	if _, err := r.ReadAt(data, end); err != nil {
		return nil, 0, err
	}
	footer, err = metadata.NewFileMetaData(data, nil)
	return footer, end, err
}

// mergeParts writes staged parts, in order, as one file.
func mergeParts(ctx context.Context, target io.Writer, parts iter.Seq2[connector.File, error]) error {
	var s splicer
	for part, err := range parts {
		if err = cmp.Or(err, ctx.Err()); err != nil {
			return err
		}
		size, err := part.Size()
		if err != nil {
			return err
		}
		footer, end, err := readFooter(part, size)
		if err != nil {
			return fmt.Errorf("read %s: %w", part.Name(), err)
		}
		if _, err := target.Write(s.head()); err != nil {
			return err
		}
		pages := io.NewSectionReader(part, int64(len(magic)), end-int64(len(magic)))
		if err := s.add(footer, pages.Size()); err != nil {
			return fmt.Errorf("join %s: %w", part.Name(), err)
		}
		// io.Copy would hand the file to the kernel at offsets other than ours.
		if _, err := io.Copy(struct{ io.Writer }{target}, struct{ io.Reader }{pages}); err != nil {
			return err
		}
	}
	tail, err := s.tail()
	if err != nil {
		return err
	}
	_, err = target.Write(tail)
	return err
}
