package provider

import (
	"fmt"

	"golang.org/x/text/encoding/simplifiedchinese"

	"github.com/tapeline/tapeline/connector"
)

// Text returns a text that was sent in GBK as UTF-8. Bytes that are no GBK become U+FFFD, which no
// number and no symbol survives: the record is refused where they count.
func Text(gbk []byte) ([]byte, error) {
	text, err := simplifiedchinese.GBK.NewDecoder().Bytes(gbk)
	if err != nil {
		return nil, &connector.Error{
			Op: "read an answer", Class: connector.Transient, Code: "provider_malformed",
			Err: fmt.Errorf("it is no GBK: %w: %q", err, clip(gbk)),
		}
	}
	return text, nil
}
