package postgres_test

import (
	"context"
	"testing"

	"go.uber.org/goleak"

	"github.com/foreman-go/foreman/internal/pgtest"
	"github.com/foreman-go/foreman/store"
	"github.com/foreman-go/foreman/store/postgres"
	"github.com/foreman-go/foreman/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func harness(o postgres.Options) storetest.Harness {
	return storetest.Harness{
		New: pgtest.Place,
		Open: func(place string) (store.Store, error) {
			url, schema := pgtest.Split(place)
			o.Schema = schema
			return postgres.Open(context.Background(), url, &o)
		},
		Shared:  true,
		Settled: pgtest.Settled,
	}
}

func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, harness(postgres.Options{}))
}

// Behind PgBouncer, as its users have it, nothing is left of a session, nor does it carry
// messages. Where that is not installed, there is nothing in between.
func TestPollOnly(t *testing.T) {
	t.Parallel()
	h := harness(postgres.Options{PollOnly: true})
	if pgtest.HasBouncer() {
		h.New, h.Settled = pgtest.PooledPlace, pgtest.PooledSettled
	}
	storetest.Run(t, h)
}

func BenchmarkStore(b *testing.B) { storetest.Benchmark(b, harness(postgres.Options{})) }
