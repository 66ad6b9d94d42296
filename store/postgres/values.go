package postgres

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
	"github.com/oklog/ulid/v2"
)

// Names are bytea in the database: strings here may hold any bytes. These types read and
// write what the driver has without a copy in between.

// text scans bytea into a string.
type text string

// ScanBytes implements [pgtype.BytesScanner].
func (t *text) ScanBytes(b []byte) error {
	*t = text(b)
	return nil
}

// key scans a uuid into an id.
type key ulid.ULID

// ScanUUID implements [pgtype.UUIDScanner].
func (k *key) ScanUUID(v pgtype.UUID) error {
	*k = v.Bytes
	return nil
}

// moment scans a time, in UTC; NULL is none.
type moment time.Time

// ScanTimestamptz implements [pgtype.TimestamptzScanner].
func (m *moment) ScanTimestamptz(v pgtype.Timestamptz) error {
	*m = moment{}
	if v.Valid {
		*m = moment(v.Time.UTC())
	}
	return nil
}

func uuid(id ulid.ULID) pgtype.UUID { return pgtype.UUID{Bytes: id, Valid: true} }

// at is nil, which is NULL, for no time.
func at(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return pgtype.Timestamptz{Time: t, Valid: true}
}

// blob is never NULL.
func blob(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// orNull is nil for an empty string or slice.
func orNull[T ~string | ~[]byte](v T) any {
	if len(v) == 0 {
		return nil
	}
	return []byte(v)
}

// column is an array parameter: one value of each item.
type column struct {
	n     int
	value func(i int) any
	like  any // what the values are, when they are not NULL
}

var _ pgtype.ArrayGetter = column{}

// Dimensions implements [pgtype.ArrayGetter].
func (c column) Dimensions() []pgtype.ArrayDimension {
	return []pgtype.ArrayDimension{{Length: int32(c.n), LowerBound: 1}}
}

// Index implements [pgtype.ArrayGetter].
func (c column) Index(i int) any { return c.value(i) }

// IndexType implements [pgtype.ArrayGetter].
func (c column) IndexType() any { return c.like }

// These make columns of the types there are.

func uuids[T any](list []T, value func(*T) ulid.ULID) column {
	return column{len(list), func(i int) any { return uuid(value(&list[i])) }, pgtype.UUID{}}
}

func byteas[T any](list []T, value func(*T) []byte) column {
	return column{len(list), func(i int) any {
		if b := value(&list[i]); b != nil {
			return b
		}
		return nil
	}, []byte{}}
}

func texts[T any, S ~string](list []T, value func(*T) S) column {
	return column{len(list), func(i int) any { return []byte(value(&list[i])) }, []byte{}}
}

func numbers[T any, N ~int | ~int16 | ~int32 | ~int64 | ~uint64](list []T, value func(*T) N) column {
	return column{len(list), func(i int) any { return int64(value(&list[i])) }, int64(0)}
}

func bools[T any](list []T, value func(*T) bool) column {
	return column{len(list), func(i int) any { return value(&list[i]) }, false}
}

func times[T any](list []T, value func(*T) time.Time) column {
	return column{len(list), func(i int) any { return at(value(&list[i])) }, pgtype.Timestamptz{}}
}

// packLabels writes labels, in order, each name and value with its length in front.
func packLabels(labels map[string]string) []byte {
	b := []byte{}
	names := make([]string, 0, len(labels))
	for name := range labels {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		b = packLabel(b, name, labels[name])
	}
	return b
}

func packLabel(b []byte, name, value string) []byte {
	b = append(binary.BigEndian.AppendUint32(b, uint32(len(name))), name...)
	return append(binary.BigEndian.AppendUint32(b, uint32(len(value))), value...)
}

// labels scans what packLabels wrote.
type labels map[string]string

// ScanBytes implements [pgtype.BytesScanner].
func (l *labels) ScanBytes(b []byte) error {
	*l = nil
	next := func() string {
		if len(b) < 4 {
			b = nil
			return ""
		}
		n := min(int(binary.BigEndian.Uint32(b)), len(b)-4)
		s := string(b[4 : 4+n])
		b = b[4+n:]
		return s
	}
	for len(b) > 0 {
		if *l == nil {
			*l = labels{}
		}
		name := next()
		(*l)[name] = next()
	}
	return nil
}
