package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tapeline/tapeline/connector"
)

// Prepare ends the epoch: every COPY of it was accepted, and deferred constraints hold. Rows are
// durable with Decide.
func (s *sink) Prepare(ctx context.Context, epoch connector.Epoch) (connector.Prepared, error) {
	if s.saved {
		if err := s.data.run(ctx, "SET CONSTRAINTS ALL IMMEDIATE"); err != nil {
			return connector.Prepared{}, s.broken(fmt.Sprintf("prepare epoch %d", epoch.Number), err)
		}
	}
	token, err := s.emptied.Token(epoch.Number)
	return connector.Prepared{Token: token}, err
}

// Decide commits the epoch's rows together with its number: "committed".
func (s *sink) Decide(ctx context.Context, epoch connector.Epoch) error {
	op := fmt.Sprintf("commit epoch %d", epoch.Number)
	if !s.begun {
		if s.data.conn.IsClosed() {
			data, err := connect(ctx, s.config.Connection, s.env.Node)
			if err != nil {
				return err
			}
			s.data = data
		}
		if err := s.data.run(ctx, beginEpoch); err != nil {
			s.drop()
			return classify(op, err)
		}
		s.begun = true
	}
	if err := s.epochs.Advance(ctx, s.data, epoch.Number); err != nil {
		s.drop()
		return fmt.Errorf("%w: %w", connector.ErrEpochLost, classify(op, err))
	}
	if err := s.data.run(ctx, "COMMIT"); err != nil {
		var refused *pgconn.PgError
		s.drop()
		if errors.As(err, &refused) && refused.Severity != "FATAL" {
			// The server answered: nothing was committed.
			return fmt.Errorf("%w: %w", connector.ErrEpochLost, classify(op, err))
		}
		return classify(op+", outcome unknown", err)
	}
	s.epochs.Committed(epoch.Number)
	s.emptied.Commit()
	s.begun, s.saved = false, false
	return nil
}

// Decided asks the server, on a connection that no epoch uses.
func (s *sink) Decided(ctx context.Context) (uint64, error) {
	var number uint64
	err := s.control(ctx, func(ctx context.Context, admin *session) (err error) {
		number, err = s.epochs.Decided(ctx, admin)
		return classify("read "+s.config.Table+"'s committed epoch", err)
	})
	return number, err
}

// Commit does nothing after Decide: the rows are visible.
func (s *sink) Commit(ctx context.Context, epoch connector.Epoch, _ []byte) error {
	if s.epochs.Last() >= epoch.Number {
		return nil
	}
	return s.Decide(ctx, epoch)
}

// Recover has nothing to publish or discard: the server rolled back what was not committed.
func (s *sink) Recover(_ context.Context, epoch connector.Epoch, token []byte) error {
	if err := s.epochs.Recover(epoch, token); err != nil {
		return err
	}
	return s.emptied.Restore(token)
}
