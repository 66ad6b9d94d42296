package postgres

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/foreman-go/foreman/store"
)

var (
	errNoURL  = errors.New("it must be the URL of a PostgreSQL database, such as postgres://user@host/db?sslmode=verify-full")
	errUnread = errors.New("the URL cannot be read; percent-encode what is special in it, above all in the password: %40 for @, %2F for /, %25 for %; after ? come parameters name=value, with & between")
	errPool   = errors.New("the URL has a parameter pool_..., which no other program for PostgreSQL knows; give the number of connections as Options.MaxConns (in foremand, -store-conns)")
)

// parse reads a URL as libpq does. Its errors wrap [store.ErrInvalid], and have nothing in
// them that may be of a password: what is special there, and not encoded, has the URL cut
// where it was not meant to be.
func parse(url string) (*pgxpool.Config, error) {
	c, err := tryParse(url)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", store.ErrInvalid, err)
	}
	return c, nil
}

func tryParse(url string) (*pgxpool.Config, error) {
	scheme, rest, _ := strings.Cut(url, "://")
	if scheme != "postgres" && scheme != "postgresql" {
		return nil, errNoURL
	}
	user, place, found := strings.Cut(rest, "@")
	if !found {
		place = rest
	} else if strings.Contains(user, "/") || strings.Contains(place, "@") {
		return nil, errUnread // what is a part of the password would be a host or a database
	}
	_, query, _ := strings.Cut(place, "?")
	if strings.HasPrefix(query, "pool_") || strings.Contains(query, "&pool_") {
		return nil, errPool
	}
	c, err := pgxpool.ParseConfig(url)
	if wrong, ok := errors.AsType[*pgconn.ParseConfigError](err); ok {
		wrong.ConnString = "" // which the text has in it, cut or not
		text := strings.TrimPrefix(wrong.Error(), "cannot parse ``: ")
		if strings.HasPrefix(text, "failed to parse as URL") {
			return nil, errUnread // the rest of it quotes what was cut
		}
		return nil, errors.New("the URL, or what it refers to: " + text)
	}
	return c, err
}
