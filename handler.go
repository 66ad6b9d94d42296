package foreman

import "github.com/oklog/ulid/v2"

func artifactURL(base string, id ulid.ULID, name string) string {
	return base + "/jobs/" + id.String() + "/artifacts/" + name
}
