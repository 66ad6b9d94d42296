package postgres

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// ways are what was wrong with each way to connect: with TLS and without, to each address
// of each host. If a server has said why it takes nobody, only what servers said counts:
// that another way leads nowhere is then as it should be.
func ways(refused *pgconn.ConnectError) []error {
	all := single(refused.Unwrap())
	if said := slices.DeleteFunc(slices.Clone(all), isSilent); len(said) > 0 {
		return said
	}
	return all
}

// single takes apart errors that were joined.
func single(err error) (all []error) {
	joined, ok := errors.AsType[interface {
		error
		Unwrap() []error
	}](err)
	if !ok {
		return []error{err}
	}
	for _, e := range joined.Unwrap() {
		all = append(all, single(e)...)
	}
	return all
}

func isSilent(err error) bool {
	_, said := errors.AsType[*pgconn.PgError](err)
	return !said
}

// unconnected is a [pgconn.ConnectError] in one line, which has each reason once, and only
// those that matter.
type unconnected struct{ *pgconn.ConnectError }

func (e unconnected) Unwrap() error { return e.ConnectError }

func (e unconnected) Error() string {
	var texts []string
	for _, err := range ways(e.ConnectError) {
		if text := err.Error(); !slices.Contains(texts, text) {
			texts = append(texts, text)
		}
	}
	return fmt.Sprintf("cannot connect to database %q as %q: %s", e.Config.Database, e.Config.User, strings.Join(texts, "; "))
}

// brief has an error that is about a connection say so in one line.
func brief(err error) error {
	if refused, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return unconnected{refused}
	}
	return err
}
