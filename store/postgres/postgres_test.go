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

// Behind PgBouncer nothing is left of a session, nor does it carry messages.
func TestPollOnly(t *testing.T) {
	t.Parallel()
	storetest.Run(t, harness(postgres.Options{PollOnly: true}))
}

func BenchmarkStore(b *testing.B) { storetest.Benchmark(b, harness(postgres.Options{})) }
