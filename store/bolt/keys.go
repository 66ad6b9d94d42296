package bolt

import (
	"encoding/binary"
	"time"

	"github.com/oklog/ulid/v2"
)

// formatVersion is the layout below; it is kept in bucketMeta.
const formatVersion = 2

var (
	formatKey  = []byte("format")
	idKey      = []byte("id")      // of the store
	backlogKey = []byte("backlog") // how many deliveries are pending
	pausedKey  = []byte("paused")  // present while all lanes are paused
)

// The buckets. Numbers in keys are big-endian, so that keys sort by them; names
// in keys are preceded by their length, so that none is a prefix of another.
const (
	bucketMeta       = iota // format, id, backlog, paused
	bucketHeads             // id -> row
	bucketLog               // pos -> id, seq, owner, data of an event; pos, blobMark -> spec or outcome. Its sequence is the last pos given
	bucketKeys              // owner, idempotency key -> id
	bucketReady             // lane, priority (highest first), turn, id -> due since, owner
	bucketTurns             // lane, priority, owner -> see turns
	bucketDelayed           // run at, id -> present
	bucketLanes             // lane -> number of keys in bucketReady
	bucketPaused            // lane -> present
	bucketDeadlines         // class, deadline, id -> present
	bucketDeliveries        // id, seq -> delivery without body
	bucketBodies            // id, seq -> body
	bucketSendable          // endpoint, id, seq -> present: due, and the first pending of its record
	bucketUnsent            // due, id, seq -> present: the first pending of its record, not due yet
	bucketCount
)

var bucketNames = [bucketCount][]byte{
	[]byte("meta"),
	[]byte("heads"),
	[]byte("log"),
	[]byte("keys"),
	[]byte("ready"),
	[]byte("turns"),
	[]byte("delayed"),
	[]byte("lanes"),
	[]byte("paused"),
	[]byte("deadlines"),
	[]byte("deliveries"),
	[]byte("bodies"),
	[]byte("sendable"),
	[]byte("unsent"),
}

// fills says how far the pages are filled of those buckets whose keys only grow:
// nothing will come between. Heads and deliveries become longer as they change, and
// get some room for that; what is written once gets none.
var fills = [bucketCount]float64{
	bucketHeads: 0.9, bucketDeliveries: 0.9,
	bucketLog: 1, bucketBodies: 1,
}

// blobMark ends the key of a blob.
const blobMark = 1

const idSize = len(ulid.ULID{})

// present is the value of keys that have nothing to say. It is not empty, since
// bbolt gives nil for a key that was put with an empty value in this transaction.
var present = []byte{1}

func appendName(b []byte, name string) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(name)))
	return append(b, name...)
}

// cutName is the reverse of appendName. rest is nil when b is too short.
func cutName(b []byte) (name, rest []byte) {
	if len(b) < 2 {
		return nil, nil
	}
	n := int(binary.BigEndian.Uint16(b))
	if len(b) < 2+n {
		return nil, nil
	}
	return b[2 : 2+n], b[2+n:]
}

// appendTime keeps the order of times; it is not for the zero time.
func appendTime(b []byte, t time.Time) []byte {
	return binary.BigEndian.AppendUint64(b, uint64(t.UnixMicro())^1<<63)
}

func timeAt(b []byte) time.Time {
	return time.UnixMicro(int64(binary.BigEndian.Uint64(b) ^ 1<<63)).UTC()
}

// appendPriority sorts higher priorities first.
func appendPriority(b []byte, p int32) []byte {
	return binary.BigEndian.AppendUint32(b, ^(uint32(p) ^ 1<<31))
}

func priorityAt(b []byte) int32 {
	return int32(^binary.BigEndian.Uint32(b) ^ 1<<31)
}

func readyKey(l level, turn uint64, id ulid.ULID) []byte {
	b := make([]byte, 0, 2+len(l.lane)+4+8+idSize)
	return append(binary.BigEndian.AppendUint64(appendLevel(b, l), turn), id[:]...)
}

func appendLevel(b []byte, l level) []byte {
	return appendPriority(appendName(b, l.lane), l.priority)
}

// cutReady takes a key of bucketReady apart, which begins with a name of this length.
func cutReady(k []byte, name int) (priority int32, turn uint64, id ulid.ULID) {
	k = k[2+name:]
	return priorityAt(k), binary.BigEndian.Uint64(k[4:]), ulid.ULID(k[4+8:])
}

func turnsKey(l level, owner string) []byte {
	b := make([]byte, 0, 2+len(l.lane)+4+len(owner))
	return append(appendLevel(b, l), owner...)
}

func timedKey(t time.Time, id ulid.ULID) []byte {
	b := make([]byte, 0, 8+idSize)
	return append(appendTime(b, t), id[:]...)
}

func deadlineKey(class byte, t time.Time, id ulid.ULID) []byte {
	b := make([]byte, 0, 1+8+idSize)
	return append(appendTime(append(b, class), t), id[:]...)
}

func seqKey(id ulid.ULID, seq uint64) []byte {
	b := make([]byte, 0, idSize+8)
	return binary.BigEndian.AppendUint64(append(b, id[:]...), seq)
}

func posKey(pos uint64) []byte {
	return binary.BigEndian.AppendUint64(make([]byte, 0, 8), pos)
}

// blobKey is where a blob is in the log: a key that is longer than that of an event.
func blobKey(pos uint64) []byte {
	return append(binary.BigEndian.AppendUint64(make([]byte, 0, 9), pos), blobMark)
}

func isBlob(k []byte) bool { return len(k) == 9 }

func posAt(b []byte) uint64 {
	if len(b) < 8 {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

func idempotencyKey(owner, key string) []byte {
	b := make([]byte, 0, 2+len(owner)+len(key))
	return append(appendName(b, owner), key...)
}

func sendableKey(endpoint string, id ulid.ULID, seq uint64) []byte {
	b := make([]byte, 0, 2+len(endpoint)+idSize+8)
	return binary.BigEndian.AppendUint64(append(appendName(b, endpoint), id[:]...), seq)
}

func unsentKey(due time.Time, id ulid.ULID, seq uint64) []byte {
	b := make([]byte, 0, 8+idSize+8)
	return binary.BigEndian.AppendUint64(append(appendTime(b, due), id[:]...), seq)
}
