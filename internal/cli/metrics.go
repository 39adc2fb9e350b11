package cli

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/tapeline/tapeline/internal/obs"
)

// serveMetrics serves /metrics until stop is called.
func (s *session) serveMetrics(address string, registry *obs.Registry) (stop func(), err error) {
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", address)
	if err != nil {
		return nil, usage("metrics: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", registry.Handler())
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener) // ends with ErrServerClosed
	}()
	fmt.Fprintf(s.errors, "metrics at http://%s/metrics\n", listener.Addr())
	return func() {
		_ = server.Close()
		<-done
	}, nil
}
