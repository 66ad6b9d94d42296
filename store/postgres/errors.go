package postgres

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/foreman-go/foreman/store"
)

// attempts is how often what has failed for a passing reason is tried, where it is
// certain that it has not happened.
const attempts = 8

// Codes of PostgreSQL: https://www.postgresql.org/docs/current/errcodes-appendix.html
const (
	codeUnique        = "23505"
	codeSerialization = "40001"
	codeDeadlock      = "40P01"
	codeDiskFull      = "53100"
	codeManyClients   = "53300"
	codeReadOnly      = "25006" // a standby, after a failover
	codeIdle          = "25P03" // it waited too long for this process
	codeLocked        = "55P03" // a lock was not to be had in time
	codeNoDatabase    = "3D000"
	codeForbidden     = "42501"
	codeTableThere    = "42P07"
)

// classify wraps an error in the one of package store that it means, if there is one.
func classify(err error) error {
	if err == nil || isOurs(err) {
		return err
	}
	err = brief(err)
	var pg *pgconn.PgError
	switch {
	case errors.As(err, &pg) && pg.Code == codeDiskFull:
		return fmt.Errorf("%w: the database's disk is full: %w", store.ErrFull, err)
	case isUnreachable(err):
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	return err
}

func isOurs(err error) bool {
	for _, e := range []error{
		store.ErrUnavailable, store.ErrFull, store.ErrInvalid, store.ErrClosed, store.ErrNotFound, store.ErrStale,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// isUnreachable reports whether the server, or the way to it, is the reason.
func isUnreachable(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return strings.HasPrefix(pg.Code, "08") || // connection exceptions
			strings.HasPrefix(pg.Code, "57P") || // shut down, crashed, or starting
			strings.HasPrefix(pg.Code, "58") || // the system beneath it
			pg.Code == codeManyClients || pg.Code == codeReadOnly || pg.Code == codeIdle || pg.Code == codeLocked
	}
	var network net.Error
	return isRefused(err) || errors.As(err, &network) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, context.DeadlineExceeded) || // of ours, for no caller's has ended
		strings.Contains(err.Error(), "conn closed")
}

// isRefused reports whether there is no connection to be had.
func isRefused(err error) bool {
	var refused *pgconn.ConnectError
	return errors.As(err, &refused)
}

// isMistaken reports whether there is no connection to be had for a reason that is in the
// URL, whichever way is tried: to wait does not mend it.
func isMistaken(err error) bool {
	var refused *pgconn.ConnectError
	if !errors.As(err, &refused) {
		return false
	}
	for _, e := range ways(refused) {
		var pg *pgconn.PgError
		var dns *net.DNSError
		var certificate *tls.CertificateVerificationError
		switch {
		case errors.As(e, &pg) && (pg.Code == codeNoDatabase || strings.HasPrefix(pg.Code, "28")): // who it is
		case errors.As(e, &dns) && dns.IsNotFound, errors.As(e, &certificate):
		case strings.Contains(e.Error(), "server refused TLS connection"):
		case strings.Contains(e.Error(), "unsupported startup parameter"): // so says PgBouncer
		default:
			return false
		}
	}
	return true
}

// isPassing reports whether trying again may do. A connection of the pool may have
// been broken while it was idle.
func isPassing(err error) bool {
	return isConflict(err) || isUnreachable(err)
}

// isConflict reports whether another transaction was in the way of this one.
func isConflict(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == codeSerialization || pg.Code == codeDeadlock || pg.Code == codeUnique)
}

// isLocked reports whether another transaction kept a lock for too long.
func isLocked(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == codeLocked
}

// isReadOnly reports whether the server is one that only reads.
func isReadOnly(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == codeReadOnly
}
