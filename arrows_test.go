package foreman_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/foreman-go/foreman"

// What each room may import of ours. Tests may import what they like.
var arrows = map[string][]string{
	".":                         {"store", "store/bolt", "artifact", "webhook", "internal/prefer", "internal/strictjson"},
	"store":                     {},
	"store/bolt":                {"store"},
	"store/postgres":            {"store"},
	"store/storetest":           {"store"},
	"artifact":                  {},
	"artifact/artifacttest":     {"artifact"},
	"artifact/blobstore":        {"artifact"},
	"webhook":                   {},
	"webhook/webhooktest":       {"webhook"},
	"internal/prefer":           {},
	"internal/strictjson":       {},
	"internal/bench":            {},
	"internal/clients":          {"internal/need", "internal/ollamatest"},
	"internal/need":             {},
	"internal/ollamatest":       {},
	"internal/pgtest":           {"internal/need"},
	"internal/receivers":        {},
	"internal/s3test":           {"internal/need"},
	"internal/transcript":       {},
	"ollama":                    {".", "internal/prefer"},
	"command":                   {".", "artifact"},
	"cmd/foremand":              {"cmd/foremand/internal/..."},
	"cmd/foremand/internal/...": {".", "artifact", "artifact/blobstore", "store", "store/postgres", "webhook", "ollama", "command", "cmd/foremand/internal/..."},
	"examples/...":              {".", "artifact/blobstore", "store/postgres", "webhook", "command"},
}

// The modules that a program inherits with the root package. A heavier one belongs in
// a package that imports the root. ssrf is one package of tables without dependencies,
// and the guard has to be where the webhooks are (docs/adr/0015).
var rootModules = []string{"code.dny.dev/ssrf", "github.com/oklog/ulid/v2", "go.etcd.io/bbolt", "golang.org/x/sys"}

func goList(t *testing.T, args ...string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", append([]string{"list"}, args...)...).Output()
	require.NoError(t, err)
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

func TestArrows(t *testing.T) {
	for _, line := range goList(t, "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...") {
		words := strings.Fields(line)
		room := ours(words[0])
		allowed, ok := lookUp(room)
		require.True(t, ok, "%s is a new room: say in arrows what it may import", room)
		for _, i := range words[1:] {
			if to := ours(i); to != "" {
				require.True(t, slices.ContainsFunc(allowed, func(a string) bool { return matches(a, to) }), "%s must not import %s", room, to)
			}
		}
	}
}

func TestTheRootStaysLight(t *testing.T) {
	for _, m := range goList(t, "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", ".") {
		if m != "" && m != module {
			require.Contains(t, rootModules, m)
		}
	}
}

// Which SDKs of object stores a program links is its own choice: it imports the
// packages of gocloud.dev/blob that it needs (docs/adr/0029).
func TestBlobstoreLinksNoSDK(t *testing.T) {
	for _, m := range goList(t, "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", "./artifact/blobstore") {
		for _, sdk := range []string{"github.com/aws/", "github.com/Azure/", "cloud.google.com/"} {
			require.False(t, strings.HasPrefix(m, sdk), m)
		}
	}
}

// ours is the room of one of our packages, and "" for any other package.
func ours(pkg string) string {
	if pkg == module {
		return "."
	}
	room, ok := strings.CutPrefix(pkg, module+"/")
	if !ok {
		return ""
	}
	return room
}

func lookUp(room string) ([]string, bool) {
	for name, allowed := range arrows {
		if matches(name, room) {
			return allowed, true
		}
	}
	return nil, false
}

func matches(pattern, room string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "/..."); ok {
		return room == prefix || strings.HasPrefix(room, prefix+"/")
	}
	return pattern == room
}
