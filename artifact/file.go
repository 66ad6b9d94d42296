package artifact

import (
	"fmt"
	"path"
	"strconv"
	"strings"
)

const (
	// tempDir holds the files of Puts under way, by random names.
	tempDir = "tmp"
	// shardCount is the number of directories that artifacts are spread over, by
	// the last two characters of the job id, which are random in a ULID.
	shardCount = len(crockford) * len(crockford)
)

// claim is one claim of a job; see [Key.Run].
type claim struct {
	job string
	run uint64
}

func (k Key) claim() claim { return claim{job: k.Job, run: k.Run} }

// Path returns the path below which stores keep the artifact: shard/job-run-name,
// where the shard is the last two characters of the job. The paths of two keys
// differ even to a file system that ignores case, because a name with upper-case
// letters is followed by '~' and the set of their places, in hexadecimal. The
// last element is at most 209 bytes long. All artifacts of one job and run stand
// together when paths are ordered byte by byte. The key must be one that
// [Key.Check] accepts.
func (k Key) Path() string {
	file := fmt.Sprintf("%s/%s-%d-%s", shardOf(k.Job), k.Job, k.Run, k.Name)
	if places := upperPlaces(k.Name); places != "" {
		file += "~" + places
	}
	return file
}

// upperPlaces returns the set of the places where name has an upper-case
// letter, four places a digit, without the zeros at its end.
func upperPlaces(name string) string {
	var set [maxName / 4]byte
	for i := range len(name) {
		if isUpper(name[i]) {
			set[i/4] |= 1 << (i % 4)
		}
	}
	for i, bits := range set {
		set[i] = "0123456789abcdef"[bits]
	}
	return strings.TrimRight(string(set[:]), "0")
}

// ParsePath returns the key of the artifact that a store keeps at a path, and
// false if the path is none that [Key.Path] returns.
func ParsePath(file string) (Key, bool) {
	parts := strings.SplitN(path.Base(file), "-", 3)
	if len(parts) < 3 {
		return Key{}, false
	}
	run, err := strconv.ParseUint(parts[1], 10, 64)
	if err != nil {
		return Key{}, false
	}
	name, _, _ := strings.Cut(parts[2], "~")
	k := Key{Job: parts[0], Run: run, Name: name}
	return k, k.Check() == nil && k.Path() == file
}

// shardOf returns the directory of a job's artifacts.
func shardOf(job string) string { return job[len(job)-2:] }

// shardNumber returns the number of a shard, and false if dir is none.
func shardNumber(dir string) (int, bool) {
	if len(dir) != 2 {
		return 0, false
	}
	high, low := strings.IndexByte(crockford, dir[0]), strings.IndexByte(crockford, dir[1])
	return high*len(crockford) + low, high >= 0 && low >= 0
}
