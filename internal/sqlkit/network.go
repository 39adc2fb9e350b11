package sqlkit

import (
	"errors"
	"net"
	"syscall"
)

// NetworkHint is the remedy for a server that cannot be reached, "" where there is none.
func NetworkHint(err error) string {
	name, unknown := errors.AsType[*net.DNSError](err)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "no server listens there: start it or correct host and port"
	case unknown && name.IsNotFound:
		return "no such host: correct its name"
	}
	return ""
}
