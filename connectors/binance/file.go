package binance

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/provider"
)

// maxFileBytes bounds what an archive may unpack to: a month of 1m bars has 7 MB.
const maxFileBytes = 256 << 20

// month reads the file of a month; found is false where the service has none.
func (s *spans) month(ctx context.Context, label string, rows *provider.Rows) (found bool, err error) {
	path := fmt.Sprintf("/data/spot/monthly/klines/%s/%s/%s-%s-%s.zip", s.code, s.freq.interval, s.code, s.freq.interval, label)
	place := path[strings.LastIndexByte(path, '/')+1:]
	if s.client.Settings().Endpoint == apiHost {
		path = fileHost + path
	}
	// Between the file and its check sum the service may replace both: they are asked for again.
	const attempts = 3
	var text []byte
	for n := 0; ; n++ {
		if text, found, err = s.fetch(ctx, place, path); err == nil || n == attempts-1 || ctx.Err() != nil {
			break
		}
	}
	if err != nil || !found {
		return false, err
	}
	rows.At(place)
	return true, s.lines(text, s.left[0].Interval, rows)
}

// fetch asks for a file and its check sum, and unpacks it.
// invariant: a file is read only when its SHA-256 is the one published beside it
func (s *spans) fetch(ctx context.Context, place, path string) (text []byte, found bool, err error) {
	check, err := s.client.Do(ctx, provider.Request{Place: place + ".CHECKSUM", Path: path + ".CHECKSUM"})
	if isMissing(err) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	file, err := s.client.Do(ctx, provider.Request{Place: place, Path: path})
	if err != nil {
		return nil, false, err
	}
	if text, err = unpack(place, file.Body, check.Body); err != nil {
		return nil, false, &connector.Error{
			Op: "read " + place, Class: connector.Transient, Code: "binance_bad_file", Err: err,
		}
	}
	return text, true, nil
}

// isMissing reports whether the service has no such file.
func isMissing(err error) bool {
	failure, ok := errors.AsType[*connector.Error](err)
	return ok && failure.Code == "http_404"
}

// unpack returns the text of an archive of one file.
func unpack(name string, archive, check []byte) ([]byte, error) {
	want, _, _ := strings.Cut(strings.TrimSpace(string(check)), " ")
	sum := sha256.Sum256(archive)
	if got := hex.EncodeToString(sum[:]); !strings.EqualFold(got, want) {
		return nil, fmt.Errorf("its SHA-256 is %s, the one published %q", got, want)
	}
	files, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		return nil, err
	}
	if len(files.File) != 1 {
		return nil, fmt.Errorf("%s holds %d files, want one", name, len(files.File))
	}
	in, err := files.File[0].Open()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	text, err := io.ReadAll(io.LimitReader(in, maxFileBytes+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxFileBytes {
		return nil, fmt.Errorf("it unpacks to more than %d bytes", maxFileBytes)
	}
	return text, nil
}

// lines adds the lines of a file that are of wanted days. Some files begin with a line of names.
func (s *spans) lines(text []byte, wanted market.Interval, rows *provider.Rows) error {
	for line := range bytes.Lines(text) {
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 || bytes.HasPrefix(line, []byte("open_time")) {
			continue
		}
		cells := bytes.Split(line, []byte{','})
		cells[0] = millis(cells[0])
		if start, ok := batch.ParseInt(cells[0]); ok && !wanted.Contains(market.Date(start/dayMillis)) {
			continue
		}
		if err := rows.Add(s.layout(), cells, line); err != nil {
			return err
		}
	}
	return nil
}

// millis returns a time in milliseconds: since 2025 files have microseconds, three digits more.
func millis(text []byte) []byte {
	const digits = 13 // of milliseconds, from 2001 to 2286
	if len(text) == digits+3 && bytes.HasSuffix(text, []byte("000")) {
		return text[:digits]
	}
	return text
}
