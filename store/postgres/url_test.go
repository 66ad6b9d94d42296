package postgres_test

import (
	"context"
	"errors"
	"net/url"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/store"
	"github.com/foreman-go/foreman/store/postgres"
)

// nobody listens at the address of these.
var broken = map[string]struct{ url, want string }{
	"no URL":             {"localhost/db", "must be the URL"},
	"keywords":           {"host=127.0.0.1 port=1 password=hunter2 hunter2", "must be the URL"},
	"keywords, quoted":   {"host=127.0.0.1 port=1 password='hunter2", "must be the URL"},
	"another scheme":     {"mysql://foreman:hunter2@127.0.0.1:1/db", "must be the URL"},
	"at":                 {"postgres://foreman:hun@ter2@127.0.0.1:1/db", "%40 for @"},
	"at, bad port":       {"postgres://foreman:hun@ter2@127.0.0.1:x/db", "%40 for @"},
	"percent":            {"postgres://foreman:50%hunter2@127.0.0.1:1/db", "%25 for %"},
	"percent and at":     {"postgres://foreman:50%@ter2@127.0.0.1:1/db", "%25 for %"},
	"percent at the end": {"postgres://foreman:hunter2%@127.0.0.1:1/db", "%25 for %"},
	"slash":              {"postgres://foreman:1/hunter2@127.0.0.1:1/db", "%2F for /"},
	"question mark":      {"postgres://foreman:1/?hunter2@127.0.0.1:1/db", "%2F for /"},
	"parameter inside":   {"postgres://foreman:1/?x=hunter2@127.0.0.1:1/db", "%2F for /"},
	"no host":            {"postgres://foreman:hunter2", "invalid port"},
	"zero":               {"postgres://foreman:hun\x00ter2@127.0.0.1:1/db", "cannot be read"},
	"parameter":          {"postgres://127.0.0.1:1/db?password=hunter2=hunter2", "name=value"},
	"parameter, cut":     {"postgres://127.0.0.1:1/db?password=1&hunter2", "name=value"},
	"port":               {"postgres://foreman:hunter2@127.0.0.1:x/db", "invalid port"},
	"sslmode":            {"postgres://foreman:hunter2@127.0.0.1:1/db?sslmode=zz", "sslmode is invalid"},
	"sslrootcert":        {"postgres://foreman:hunter2@127.0.0.1:1/db?sslmode=verify-full&sslrootcert=/nowhere", "/nowhere"},
	"timeout":            {"postgres://foreman:hunter2@127.0.0.1:1/db?connect_timeout=soon&password=hunter2", "connect_timeout"},
	"ports":              {"postgres://foreman:hunter2@127.0.0.1:1,127.0.0.1:2,127.0.0.1/db?port=1,2", "2 port numbers to 3 hosts"},
	"of a pool":          {"postgres://foreman:hunter2@127.0.0.1:1/db?sslmode=disable&pool_max_conns=4", "-store-conns"},
}

// What is wrong with a URL is said without the password, or what is left of it.
func TestBrokenURLs(t *testing.T) {
	for name, c := range broken {
		_, err := postgres.Open(t.Context(), c.url, nil)
		require.ErrorIs(t, err, store.ErrInvalid, name)
		require.ErrorContains(t, err, c.want, name)
		requireNoPassword(t, err)
	}
}

// requireNoPassword looks for parts of a password in an error.
func requireNoPassword(t *testing.T, err error) {
	t.Helper()
	for _, part := range []string{"hun", "50%", "xyz", "ter2"} {
		require.NotContains(t, err.Error(), part)
	}
	var whole *pgconn.ParseConfigError // has the URL
	require.False(t, errors.As(err, &whole))
}

// A password that has all that is special, encoded or not, is in no error, whether the URL
// is refused or the server is not there.
func TestSpecialPasswords(t *testing.T) {
	const special = "@/:?#%&= '\"[],"
	for i := range special {
		for j := range special {
			password := "hun" + special[i:i+1] + "xyz" + special[j:j+1] + "ter2"
			for _, p := range []string{password, url.QueryEscape(password)} {
				for _, u := range []string{
					"postgres://foreman:" + p + "@127.0.0.1:1/db?sslmode=disable",
					"postgres://127.0.0.1:1/db?sslmode=disable&user=foreman&password=" + p,
				} {
					ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
					_, err := postgres.Open(ctx, u, nil)
					cancel()
					require.Error(t, err, u)
					requireNoPassword(t, err)
				}
			}
		}
	}
}
