package tdx

import (
	"errors"
	"fmt"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/market"
)

// Config configures the source.
type Config struct {
	Path        string `yaml:"path" required:"true" doc:"a .day file, a glob, a folder that is searched for .day files at any depth, or a .zip of them" example:"vipdoc"`
	PriceDigits int    `yaml:"price_digits" doc:"decimals of the prices in the file, 1 to 4; 0 takes 3 for funds, bonds and Shanghai B shares and 2 for others. Default 0"`
}

// Connector describes the tdx source.
func Connector() connector.Connector {
	return connector.Connector{
		Name: "tdx", Version: "1.0.0", Contract: connector.ContractVersion,
		Summary:  "Reads daily bars from the .day files of TDX terminals.",
		Doc:      page,
		Suffixes: []string{".day"},
		Source: connector.NewSource(Config{}, connector.SourceCapabilities{
			Bounded: true, Resumable: true,
		}, newSource),
	}
}

const page = `Columns: symbol (600000.XSHG, from the name of the file: sh600000.day), date, open, high, low, close
as decimal(18,4), amount as decimal(18,4), volume. All prices are raw. Volume and amount are as in the file:
shares and yuan for shares, lots for some indices; the file keeps amounts as 32-bit floats, seven digits.

A record of 32 bytes, little-endian:

| bytes | |
|---|---|
| 0-3 | date, as 20240102 |
| 4-19 | open, high, low, close: times 100, or 1000 for funds, bonds and Shanghai B shares (` + "`price_digits`" + `) |
| 20-23 | amount, float |
| 24-27 | volume |
| 28-31 | reserved |

A record whose date is no day or does not follow the one before, whose amount is no number, and the rest of a file
that ends within a record go to the dead letters with file, record and field. Files whose names say no symbol are
refused. A run is resumed at the record where it stopped; a file that changed meanwhile is refused then.
`

func (c *Config) validate() error {
	var problems []error
	if c.Path == "" {
		problems = append(problems, errors.New("path: required"))
	}
	if c.PriceDigits < 0 || c.PriceDigits > market.PriceScale {
		problems = append(problems, fmt.Errorf("price_digits: %d is not between 1 and %d", c.PriceDigits, market.PriceScale))
	}
	if len(problems) == 0 {
		return nil
	}
	return &connector.Error{Op: "configure tdx", Class: connector.Permanent, Err: errors.Join(problems...)}
}

var (
	priceType = batch.DecimalOf(18, market.PriceScale)
	schema    = batch.NewSchema(
		batch.Field{Name: "symbol", Type: batch.Of(batch.String)},
		batch.Field{Name: "date", Type: batch.Of(batch.Date)},
		batch.Field{Name: "open", Type: priceType},
		batch.Field{Name: "high", Type: priceType},
		batch.Field{Name: "low", Type: priceType},
		batch.Field{Name: "close", Type: priceType},
		batch.Field{Name: "volume", Type: batch.Of(batch.Int64)},
		batch.Field{Name: "amount", Type: priceType},
	)
)
