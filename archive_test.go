package foreman_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/store"
)

var newExport = flag.Bool("archive.new", false, "write testdata/export/1.tar anew: only when the format has another number")

const keptExport = "testdata/export/1.tar"

// smallHouse is a Foreman with jobs of all kinds, and little in them.
func smallHouse(tb testing.TB) (f *foreman.Foreman, jobs map[string]ulid.ULID) {
	f = newForeman(tb, foreman.BackendFunc(func(_ context.Context, task *foreman.Task) error {
		_, _ = task.Write([]byte("as far as it came"))
		for _, name := range []string{"a.txt", "B.txt"} {
			if _, err := task.Artifact(name, "text/plain", strings.NewReader("what is in "+name)); err != nil {
				return err
			}
		}
		if string(task.Spec.Input) == `"failed"` {
			return foreman.Permanent(errors.New("as it was told to"))
		}
		return task.SetResult(42)
	}), foreman.Options{Webhook: foreman.WebhookOptions{Guard: loopback}})
	jobs = map[string]ulid.ULID{}
	stop := start(tb, f)
	for _, state := range []string{"done", "failed"} {
		jobs[state] = submit(tb, f, foreman.Spec{Input: []byte(`"` + state + `"`), Labels: map[string]string{"is": state}})
		await(tb, f, jobs[state])
	}
	stop()
	jobs["queued"] = submit(tb, f, queuedSpec("http://127.0.0.1:9000/hook"))
	require.NoError(tb, f.Pause(context.Background(), "some lane"))
	return f, jobs
}

// An export that was written by an earlier version can be read.
func TestImportOfEarlier(t *testing.T) {
	if *newExport {
		f, _ := smallHouse(t)
		var b bytes.Buffer
		_, err := f.Export(t.Context(), &b)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(keptExport, b.Bytes(), 0o600))
	}
	file, err := os.Open(keptExport)
	require.NoError(t, err)
	defer file.Close()
	f := newForeman(t, newGate(), foreman.Options{})
	m, err := f.Import(t.Context(), file)
	require.NoError(t, err)
	require.Equal(t, foreman.Moved{Jobs: 3, Events: 7, Deliveries: 1, Pending: 1, Artifacts: 5, Bytes: 4*16 + 17, PausedLanes: 1}, m)
	list, err := f.List(t.Context(), foreman.Query{Limit: 10})
	require.NoError(t, err)
	states := map[foreman.State]*foreman.Job{}
	for i := range list.Jobs {
		states[list.Jobs[i].State] = status(t, f, list.Jobs[i].ID)
	}
	require.Equal(t, "42", string(states[foreman.Done].Result))
	require.Equal(t, "what is in B.txt", read(t, f, states[foreman.Done].ID, "B.txt"))
	require.Equal(t, "as it was told to", states[foreman.Failed].Error.Message)
	require.Equal(t, "as far as it came", read(t, f, states[foreman.Failed].ID, "partial"))
	require.Equal(t, "http://127.0.0.1:9000/hook", states[foreman.Queued].Spec.StateWebhookURL)
}

// item is an entry of an archive.
type item struct {
	name string
	data []byte
}

// items are the entries of an archive, as far as they can be read.
func items(archive []byte) (all []item) {
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if err != nil || h.Size > 1<<20 {
			return all
		}
		data, err := io.ReadAll(r)
		if err != nil {
			return all
		}
		all = append(all, item{h.Name, data})
	}
}

// sealed makes an archive of entries whose end is right: what remains to be wrong is in
// them. An end among them is left out.
func sealed(tb testing.TB, all []item) []byte {
	var end struct {
		foreman.Moved
		SHA256 string `json:"sha256"`
	}
	var out bytes.Buffer
	w, sum := tar.NewWriter(&out), sha256.New()
	write := func(i item) {
		require.NoError(tb, w.WriteHeader(&tar.Header{Name: i.name, Size: int64(len(i.data)), Mode: 0o600, Format: tar.FormatPAX}))
		_, err := w.Write(i.data)
		require.NoError(tb, err)
	}
	for _, i := range all {
		if i.name == "end.json" || strings.HasSuffix(i.name, "/") || strings.ContainsRune(i.name, 0) {
			continue
		}
		write(i)
		sum.Write([]byte(i.name + "\n"))
		sum.Write(i.data)
		var job store.Whole
		switch {
		case strings.HasPrefix(i.name, "artifacts/"):
			end.Artifacts++
			end.Bytes += int64(len(i.data))
		case strings.HasPrefix(i.name, "jobs/") && json.Unmarshal(i.data, &job) == nil:
			end.Jobs++
			end.Events += len(job.Events)
			end.Deliveries += len(job.Deliveries)
			for _, d := range job.Deliveries {
				if d.State == store.Pending {
					end.Pending++
				}
			}
		}
	}
	end.SHA256 = hex.EncodeToString(sum.Sum(nil))
	b, err := json.Marshal(&end)
	require.NoError(tb, err)
	write(item{"end.json", b})
	require.NoError(tb, w.Close())
	return out.Bytes()
}

// files are those below a directory.
func files(tb testing.TB, dir string) (all []string) {
	require.NoError(tb, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all = append(all, path)
		}
		return err
	}))
	return all
}

// untouched makes sure that nothing was added to a Foreman that had nothing.
func untouched(t *testing.T, f *foreman.Foreman, dir string) {
	t.Helper()
	list, err := f.List(t.Context(), foreman.Query{})
	require.NoError(t, err)
	require.Empty(t, list.Jobs)
	q, err := f.Queue(t.Context())
	require.NoError(t, err)
	require.False(t, q.Paused)
	require.Empty(t, q.Lanes)
	require.Empty(t, left(t, dir), "nothing is put")
}

// What somebody has made up is refused for what is wrong with it, before anything is
// added, though its counts and its checksum are right.
func TestImportOfWhatIsMadeUp(t *testing.T) {
	kept, err := os.ReadFile(keptExport)
	require.NoError(t, err)
	at := func(all []item, prefix string) *item {
		for i := range all {
			if strings.HasPrefix(all[i].name, prefix) {
				return &all[i]
			}
		}
		t.Fatal(prefix)
		return nil
	}
	replace := func(i *item, old, with string) {
		require.Contains(t, string(i.data), old)
		i.data = bytes.Replace(i.data, []byte(old), []byte(with), 1)
	}
	for name, change := range map[string]func(all []item) []item{
		"a name that leads out": func(all []item) []item {
			a := at(all, "artifacts/")
			a.name = "artifacts/../../../escaped"
			return all
		},
		"an artifact of nobody":  func(all []item) []item { return append(all, item{"artifacts/x/1/y", nil}) },
		"an artifact twice":      func(all []item) []item { return append(all[:3:3], append([]item{all[2]}, all[3:]...)...) },
		"an artifact before all": func(all []item) []item { return append([]item{*at(all, "artifacts/")}, all...) },
		"other data": func(all []item) []item {
			a := at(all, "artifacts/")
			a.data = bytes.ToUpper(a.data)
			return all
		},
		"a longer artifact": func(all []item) []item {
			a := at(all, "artifacts/")
			a.data = append(a.data, 'x')
			return all
		},
		"an artifact is missing":   func(all []item) []item { return append(all[:2:2], all[3:]...) },
		"no start":                 func(all []item) []item { return all[1:] },
		"two starts":               func(all []item) []item { return append(all[:1:1], all...) },
		"a job twice":              func(all []item) []item { return append(all, *at(all, "jobs/")) },
		"something else":           func(all []item) []item { return append(all, item{"readme.txt", nil}) },
		"a format of the future":   func(all []item) []item { replace(&all[0], `"format":1`, `"format":2`); return all },
		"a job of another name":    func(all []item) []item { at(all, "jobs/").name = "jobs/" + ulid.Make().String(); return all },
		"no JSON":                  func(all []item) []item { at(all, "jobs/").data = []byte("{"); return all },
		"no job":                   func(all []item) []item { at(all, "jobs/").data = []byte("{}"); return all },
		"a state there is not":     func(all []item) []item { replace(at(all, "jobs/"), `"State":"done"`, `"State":"lost"`); return all },
		"events of somebody else":  func(all []item) []item { replace(at(all, "jobs/"), `"Seq":2`, `"Seq":9`); return all },
		"fewer events than it had": func(all []item) []item { replace(at(all, "jobs/"), `"Seq":3`, `"Seq":4`); return all },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			f := newForeman(t, newGate(), foreman.Options{Dir: dir})
			_, err := f.Import(t.Context(), bytes.NewReader(sealed(t, change(items(kept)))))
			require.ErrorIs(t, err, foreman.ErrMalformed)
			untouched(t, f, dir)
		})
	}
	f := newForeman(t, newGate(), foreman.Options{})
	_, err = f.Import(t.Context(), bytes.NewReader(sealed(t, items(kept))))
	require.NoError(t, err)
}

// What is no file is refused, and so is what says that it is larger than it can be.
func TestImportOfOddEntries(t *testing.T) {
	for name, h := range map[string]tar.Header{
		"a link":      {Typeflag: tar.TypeSymlink, Name: "jobs/x", Linkname: "/etc/passwd"},
		"a directory": {Typeflag: tar.TypeDir, Name: "artifacts/"},
		"huge":        {Typeflag: tar.TypeReg, Name: "foreman.json", Size: 1 << 40},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			w := tar.NewWriter(&b)
			require.NoError(t, w.WriteHeader(&h))
			dir := t.TempDir()
			f := newForeman(t, newGate(), foreman.Options{Dir: dir})
			_, err := f.Import(t.Context(), bytes.NewReader(b.Bytes()))
			require.ErrorIs(t, err, foreman.ErrMalformed)
			untouched(t, f, dir)
		})
	}
}

// FuzzImport holds that bytes of any kind, and archives of any entries whose counts and
// checksum are right, are refused without having changed anything, or add jobs that can be
// read; and that nothing is ever written beside the file and the artifacts.
func FuzzImport(f *testing.F) {
	kept, err := os.ReadFile(keptExport)
	require.NoError(f, err)
	f.Add(kept)
	f.Add(kept[:len(kept)/2])
	f.Add([]byte("no archive"))
	f.Add([]byte{})
	base := f.TempDir()
	var root, dir string
	var fm *foreman.Foreman // an empty one: after each that is filled, another
	f.Cleanup(func() {
		if fm != nil {
			require.NoError(f, fm.Close())
		}
	})
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, archive := range [][]byte{data, sealed(t, items(data))} {
			if fm == nil {
				var err error
				root, err = os.MkdirTemp(base, "")
				require.NoError(t, err)
				dir = filepath.Join(root, "data")
				fm, err = foreman.New(newGate(), &foreman.Options{Dir: dir, Logger: quiet})
				require.NoError(t, err)
			}
			m, err := fm.Import(t.Context(), bytes.NewReader(archive))
			if errors.Is(err, foreman.ErrMalformed) {
				untouched(t, fm, dir)
				continue
			}
			if err == nil {
				list, err := fm.List(t.Context(), foreman.Query{Limit: 1000})
				require.NoError(t, err)
				require.Len(t, list.Jobs, min(m.Jobs, 1000))
				for i := range list.Jobs {
					status(t, fm, list.Jobs[i].ID)
				}
			}
			require.NoError(t, fm.Close())
			fm = nil
			for _, file := range files(t, root) {
				rel, err := filepath.Rel(dir, file)
				require.NoError(t, err)
				require.True(t, rel == "foreman.db" || strings.HasPrefix(rel, "artifacts"+string(filepath.Separator)), file)
			}
		}
	})
}

// An import goes on with what is there when what was imported before has gone on.
func TestMoveWhereJobsRunMeanwhile(t *testing.T) {
	from, jobs := smallHouse(t)
	var file bytes.Buffer
	_, err := from.Export(t.Context(), &file)
	require.NoError(t, err)
	g := newGate()
	to := newForeman(t, g, foreman.Options{})
	_, err = to.Import(t.Context(), bytes.NewReader(file.Bytes()))
	require.NoError(t, err)
	stop := start(t, to)
	require.Equal(t, jobs["queued"], (<-g.began).ID)
	g.end <- nil
	require.Equal(t, foreman.Done, await(t, to, jobs["queued"]).State)
	stop()
	m, err := to.Import(t.Context(), bytes.NewReader(file.Bytes()))
	require.NoError(t, err)
	require.Equal(t, 3, m.Existing)
	require.Equal(t, foreman.Done, status(t, to, jobs["queued"]).State, "it is left as it is")

	file.Reset()
	_, err = to.Export(t.Context(), &file)
	require.NoError(t, err)
	_, err = from.Import(t.Context(), bytes.NewReader(file.Bytes()))
	require.ErrorIs(t, err, foreman.ErrState, "here it has not gone on")
	require.ErrorContains(t, err, "an earlier version of it")
	require.Equal(t, foreman.Queued, status(t, from, jobs["queued"]).State)
}
