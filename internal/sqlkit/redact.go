package sqlkit

import (
	"errors"
	"strings"
)

// Redact returns err with every secret in its text replaced by ***, and errors.Is and As intact.
func Redact(err error, secrets ...string) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	clean := text
	for _, secret := range secrets {
		if secret != "" {
			clean = strings.ReplaceAll(clean, secret, "***")
		}
	}
	if clean == text {
		return err
	}
	return &redacted{text: clean, err: err}
}

// redacted hides its cause's text; only its identity stays reachable.
type redacted struct {
	text string
	err  error
}

func (r *redacted) Error() string { return r.text }

func (r *redacted) Is(target error) bool { return errors.Is(r.err, target) }

func (r *redacted) As(target any) bool { return errors.As(r.err, target) }
