package blobstore_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"

	"github.com/foreman-go/foreman/artifact"
	"github.com/foreman-go/foreman/artifact/blobstore"
	"github.com/foreman-go/foreman/internal/s3test"
)

func put(tb testing.TB, s artifact.Store, k artifact.Key, data string) {
	tb.Helper()
	_, err := s.Put(tb.Context(), k, "", strings.NewReader(data), 0)
	require.NoError(tb, err)
}

func get(tb testing.TB, s artifact.Store, k artifact.Key) string {
	tb.Helper()
	r, err := s.Open(tb.Context(), k)
	require.NoError(tb, err)
	data, err := io.ReadAll(r)
	require.NoError(tb, err)
	require.NoError(tb, r.Close())
	return string(data)
}

func keepNone(string, uint64) (bool, error) { return false, nil }

func keysIn(tb testing.TB, b *blob.Bucket) (keys []string) {
	seq, failed := b.List(nil).All(context.Background()) // a cleanup has no other
	for o := range seq {
		keys = append(keys, o.Key)
	}
	require.NoError(tb, failed())
	return keys
}

// What the bucket has is what the documentation says, for those who copy a directory
// to a bucket, or look into one.
func TestWhatIsInTheBucket(t *testing.T) {
	bucket := memblob.OpenBucket(nil)
	s := blobstore.New(bucket, alone)
	k := key(42, 7, "Log.txt")
	_, err := s.Put(t.Context(), k, "Text/Plain", strings.NewReader("x"), 0)
	require.NoError(t, err)
	put(t, s, key(42, 7, "a.attrs"), "x")
	w, err := s.CreateSpool(k.Job, 3)
	require.NoError(t, err)
	_, err = io.WriteString(w, "x")
	require.NoError(t, err)
	require.Equal(t, []string{
		"42/" + k.Job + "-7-Log.txt~1", "42/" + k.Job + "-7-a.attrs~0",
		"spool/" + k.Job + "-3-0000000000", "spool/" + k.Job + "-3-0000000001",
	}, keysIn(t, bucket))
	a, err := bucket.Attributes(t.Context(), "42/"+k.Job+"-7-Log.txt~1")
	require.NoError(t, err)
	require.Equal(t, "text/plain", a.ContentType)
}

func TestADirectoryCanBeCopied(t *testing.T) {
	path := filepath.Join(t.TempDir(), "artifacts")
	d, err := artifact.OpenDir(path)
	require.NoError(t, err)
	keys := []artifact.Key{key(1, 1, "a"), key(1, 12, "B.txt"), key(2, 1, strings.Repeat("N", 128))}
	for _, k := range keys {
		put(t, d, k, k.String())
	}
	require.NoError(t, d.Close())
	bucket := memblob.OpenBucket(nil)
	require.NoError(t, filepath.WalkDir(path, func(file string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		object, err := filepath.Rel(path, file)
		require.NoError(t, err)
		return bucket.WriteAll(t.Context(), filepath.ToSlash(object), data, nil)
	}))
	s := blobstore.New(bucket, alone)
	for _, k := range keys {
		require.Equal(t, k.String(), get(t, s, k))
	}
}

func TestSweepLeavesOtherObjectsAlone(t *testing.T) {
	bucket := memblob.OpenBucket(nil)
	s := blobstore.New(bucket, alone)
	job := key(1, 1, "").Job
	foreign := []string{
		"README", "x/y", "01/notes.txt", "01/" + job, "01/" + job + "-1-", "01/" + job + "-01-a", "01/" + job + "-1-a~1",
		"01/" + key(2, 1, "").Job + "-1-a", "01/" + job + "-1-.a", "02/" + job + "-1-a", "01/" + job + "-1-a~0", "01/" + job + "-1-a.attrs",
		"spool/notes", "spool/" + job + "-1", "spool/" + job + "-1-1", "spool/" + job + "-01-0000000000", "spool/" + job + "-1-0000000000-a",
	}
	for _, k := range foreign {
		require.NoError(t, bucket.WriteAll(t.Context(), k, nil, nil))
	}
	put(t, s, key(1, 1, "a"), "x")
	removed, err := s.Sweep(t.Context(), keepNone)
	require.NoError(t, err)
	require.Equal(t, 1, removed)
	removed, err = s.SweepSpools(t.Context(), keepNone)
	require.NoError(t, err)
	require.Zero(t, removed)
	require.ElementsMatch(t, foreign, keysIn(t, bucket))
}

// A bucket is shared: what was put lately may be what another process is at.
func TestSweepLeavesWhatWasPutLately(t *testing.T) {
	url := "file://" + filepath.ToSlash(t.TempDir())
	dir := strings.TrimPrefix(url, "file://")
	other, s := open(t, url, nil), open(t, url, nil)
	old, mixed, young := key(1, 1, "a"), key(2, 1, "a"), key(3, 1, "a")
	lately := key(2, 1, "b")
	for _, k := range []artifact.Key{old, mixed, young, lately} {
		put(t, other, k, "x")
	}
	unfinished := filepath.Join(dir, "01", key(1, 1, "").Job+"-1-half.18ecde8f9de5c0c9.tmp")
	require.NoError(t, os.WriteFile(unfinished, []byte("half"), 0o600))
	set := func(path string, age time.Duration) {
		when := time.Now().Add(-age)
		require.NoError(t, os.Chtimes(path, when, when))
	}
	set(filepath.Join(dir, old.Path()), 61*time.Minute)
	set(filepath.Join(dir, mixed.Path()), 61*time.Minute)
	set(filepath.Join(dir, young.Path()), 59*time.Minute)

	removed, err := s.Sweep(t.Context(), func(job string, _ uint64) (bool, error) {
		t.Errorf("asked about %s", job)
		return true, nil
	})
	require.NoError(t, err)
	require.Zero(t, removed, "of the first job, too, something is being put")

	set(unfinished, 61*time.Minute)
	var asked []string
	removed, err = s.Sweep(t.Context(), func(job string, _ uint64) (bool, error) {
		asked = append(asked, job)
		return false, nil
	})
	require.NoError(t, err)
	require.Equal(t, 2, removed, "an artifact and what a crash left")
	require.Equal(t, []string{old.Job}, asked)
	for _, k := range []artifact.Key{mixed, young, lately} {
		require.Equal(t, "x", get(t, s, k))
	}
}

// The ages are by the clock of the bucket, and this machine's may be wrong.
func TestSweepAsksTheBucketForTheTime(t *testing.T) {
	dir := t.TempDir()
	s := open(t, "file://"+filepath.ToSlash(dir), &blobstore.Options{SweepAge: time.Nanosecond})
	k := key(1, 1, "a")
	put(t, s, k, "x")
	ahead := time.Now().Add(time.Hour) // as if the bucket were an hour ahead of it, while that was put
	require.NoError(t, os.Chtimes(filepath.Join(dir, k.Path()), ahead, ahead))
	removed, err := s.Sweep(t.Context(), keepNone)
	require.NoError(t, err)
	require.Zero(t, removed)
	info, err := os.Stat(filepath.Join(dir, "clock"))
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), info.ModTime(), time.Minute)
}

func TestSweepOfManyPages(t *testing.T) {
	s := open(t, "mem://", alone)
	const jobs = 1500
	for n := range jobs {
		put(t, s, key(n, 1, "a"), "")
		put(t, s, key(n, 2, "a"), "")
	}
	removed, err := s.Sweep(t.Context(), func(_ string, run uint64) (bool, error) { return run == 2, nil })
	require.NoError(t, err)
	require.Equal(t, jobs, removed)
	removed, err = s.Sweep(t.Context(), keepNone)
	require.NoError(t, err)
	require.Equal(t, jobs, removed)
}

func TestClosed(t *testing.T) {
	s := open(t, "mem://", alone)
	require.NoError(t, s.Close())
	require.NoError(t, s.Close())
	k := key(1, 1, "a")
	_, err := s.Put(t.Context(), k, "", strings.NewReader(""), 0)
	require.ErrorIs(t, err, os.ErrClosed)
	_, err = s.Open(t.Context(), k)
	require.ErrorIs(t, err, os.ErrClosed)
	require.ErrorIs(t, s.Remove(t.Context(), k), os.ErrClosed)
	_, err = s.Sweep(t.Context(), keepNone)
	require.ErrorIs(t, err, os.ErrClosed)
	_, err = s.CreateSpool(k.Job, 1)
	require.ErrorIs(t, err, os.ErrClosed)
	_, err = s.OpenSpool(k.Job, 1)
	require.ErrorIs(t, err, os.ErrClosed)
	require.ErrorIs(t, s.RemoveSpool(k.Job, 1), os.ErrClosed)
	_, err = s.SweepSpools(t.Context(), keepNone)
	require.ErrorIs(t, err, os.ErrClosed)
}

// A bucket that is not there is not an artifact that is not there.
func TestNoBucket(t *testing.T) {
	server := s3test.Start(t)
	_, err := blobstore.Open(t.Context(), server.URL("no-such-bucket"), nil)
	require.ErrorIs(t, err, artifact.ErrUnavailable)
	require.ErrorContains(t, err, "see that s3://no-such-bucket is there")

	s := open(t, server.Bucket(t, "things"), nil)
	k := key(1, 1, "a")
	put(t, s, k, strings.Repeat("x", 3<<20))
	r, err := s.Open(t.Context(), k)
	require.NoError(t, err)
	defer func() { require.NoError(t, r.Close()) }()
	server.Stop()
	check := func(err error) {
		t.Helper()
		assert.ErrorIs(t, err, artifact.ErrUnavailable)
		assert.NotErrorIs(t, err, artifact.ErrNotFound)
		assert.NotContains(t, err.Error(), "x-id=")
	}
	var group sync.WaitGroup // the SDK tries for some seconds
	for _, do := range []func() error{
		func() error { _, err := io.ReadAll(r); return err },
		func() error { _, err := s.Put(t.Context(), k, "", strings.NewReader("x"), 0); return err },
		func() error {
			_, err := s.Put(t.Context(), k, "", io.LimitReader(endless{}, 20<<20), 0)
			return err
		},
		func() error { _, err := s.Open(t.Context(), k); return err },
		func() error { return s.Remove(t.Context(), k) },
		func() error { _, err := s.Sweep(t.Context(), keepNone); return err },
		func() error { _, err := s.CreateSpool(k.Job, 1); return err },
		func() error { _, err := s.OpenSpool(k.Job, 1); return err },
	} {
		group.Go(func() { check(do()) })
	}
	group.Wait()
}

// A share that is not mounted any more, or a directory that was removed, is not made anew:
// what would be put there would be nowhere when it is back.
func TestNoDirectory(t *testing.T) {
	for name, after := range map[string]func(t *testing.T, dir string){
		"gone":  func(*testing.T, string) {},
		"empty": func(t *testing.T, dir string) { require.NoError(t, os.Mkdir(dir, 0o700)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "mounted")
			url := "file://" + filepath.ToSlash(dir) + "?prefix=below/"
			require.NoError(t, os.Mkdir(dir, 0o700))
			s := open(t, url, nil)
			k, job := key(1, 1, "a"), key(1, 1, "").Job
			put(t, s, k, "x")
			w, err := s.CreateSpool(job, 1)
			require.NoError(t, err)
			require.NoError(t, os.Rename(dir, dir+".away"))
			after(t, dir)
			for what, do := range map[string]func() error{
				"Put":         func() error { _, err := s.Put(t.Context(), k, "", strings.NewReader("x"), 0); return err },
				"Put nothing": func() error { _, err := s.Put(t.Context(), k, "", strings.NewReader(""), 0); return err },
				"Open":        func() error { _, err := s.Open(t.Context(), k); return err },
				"Remove":      func() error { return s.Remove(t.Context(), k) },
				"Sweep":       func() error { _, err := s.Sweep(t.Context(), keepNone); return err },
				"Own":         func() error { return s.Own(t.Context(), "one") },
				"CreateSpool": func() error { _, err := s.CreateSpool(job, 2); return err },
				"OpenSpool":   func() error { _, err := s.OpenSpool(job, 1); return err },
				"Write":       func() error { _, err := io.WriteString(w, "x"); return err },
			} {
				err := do()
				require.ErrorIs(t, err, artifact.ErrUnavailable, what)
				require.ErrorContains(t, err, "as if it were not mounted", what)
			}
			found, err := filepath.Glob(filepath.Join(dir, "*"))
			require.NoError(t, err)
			require.Empty(t, found, "nothing was put there")

			require.NoError(t, os.RemoveAll(dir))
			_, err = blobstore.Open(t.Context(), url, nil)
			require.ErrorIs(t, err, artifact.ErrUnavailable)
			require.ErrorContains(t, err, "there is no such directory: mount it, if it is a share, or make it")
			require.NoError(t, os.Rename(dir+".away", dir))
			require.Equal(t, "x", get(t, s, k))
			put(t, s, k, "y")
		})
	}
}

// A bucket that another queue has is named, with what can be done.
func TestOwnedByAnother(t *testing.T) {
	url := "file://" + filepath.ToSlash(t.TempDir())
	s := open(t, url, nil)
	require.NoError(t, s.Own(t.Context(), "one"))
	err := s.Own(t.Context(), "two")
	require.EqualError(t, err, "blobstore: "+url+`: it belongs to another queue, whose id is in its object queue ("one", and this one is "two"): `+
		"give this queue a bucket of its own, or a prefix with prefix=name/ in the URL; if the other one is no more, or has moved here, remove that object")
	require.NoError(t, open(t, url+"?prefix=two/", nil).Own(t.Context(), "two"), "as was said")
	require.NoError(t, s.Own(t.Context(), "one"))
	require.NoError(t, os.Remove(strings.TrimPrefix(url, "file://")+"/queue"))
	require.NoError(t, s.Own(t.Context(), "two"), "as was said")
}

// Settings that are missing are named, instead of what an SDK makes of that.
func TestMissingSettings(t *testing.T) {
	for _, name := range []string{
		"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE",
		"AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGEBLOB_CONNECTIONSTRING",
	} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_CONFIG_FILE", os.DevNull)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)
	for url, want := range map[string]struct {
		says    string
		passing bool
	}{
		"s3://bucket":                     {"(give region= in the URL, or set AWS_REGION)", false},
		"s3://bucket?region=eu-central-1": {"for s3://bucket set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role", true},
		"azblob://container":              {"(give storage_account= in the URL, or set AZURE_STORAGE_ACCOUNT)", false},
	} {
		_, err := blobstore.Open(t.Context(), url, nil)
		require.ErrorContains(t, err, want.says)
		require.NotContains(t, err.Error(), "has room")
		require.Equal(t, want.passing, errors.Is(err, artifact.ErrUnavailable), "%s: whether to try again", url)
	}
}

func TestWrongCredentials(t *testing.T) {
	server := s3test.Start(t)
	url := server.Bucket(t, "things")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "wrong")
	_, err := blobstore.Open(t.Context(), url, nil)
	require.ErrorIs(t, err, artifact.ErrUnavailable)
	require.NotContains(t, err.Error(), "wrong")
}

func TestUnreachable(t *testing.T) {
	server := s3test.Start(t) // for the environment
	server.Stop()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // it accepts, and never answers
	require.NoError(t, err)
	defer func() { require.NoError(t, silent.Close()) }()
	server.Address = silent.Addr().String()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err = blobstore.Open(ctx, server.URL("things"), nil)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestURLs(t *testing.T) {
	for url, want := range map[string]string{
		"":                                  `"" is not the URL of a bucket`,
		"artifacts":                         `"artifacts" is not the URL of a bucket`,
		"/tmp/x":                            `"/tmp/x" is not the URL of a bucket that this program knows, which begins with one of azblob://, file://, gs://, mem://, s3://; that of a directory is like file:///srv/artifacts`,
		"ftp://user:hunter2@host/x?pw=abc1": `"ftp://host/x" is not the URL of a bucket`,
		"file://relative":                   "file://relative: the URL of a directory has three slashes and all of its path, like file:///srv/artifacts",
		"file://relative/x":                 "has three slashes",
		"file:relative":                     "has three slashes",
		"file:":                             "has three slashes",
		"file://":                           "has three slashes",
		"s3://a b":                          "the URL of the bucket cannot be read",
		"s3://key:hunter2@b?secret=hunter2": `unknown query parameter "secret"`,
		"s3://user:hunter2@b\x7f":           "cannot be read",
		"mem://?hunter2=1&prefix=x/":        "invalid query parameter",
		"mem://?key=hunter2":                "it names one object",
		"file:///dev/null":                  "is not a directory",
	} {
		_, err := blobstore.Open(t.Context(), url, nil)
		require.ErrorContains(t, err, want, url)
		if !strings.Contains(url, "?hunter2") { // the name of a parameter is no secret
			require.NotContains(t, err.Error(), "hunter2", url)
		}
		require.NotContains(t, err.Error(), "abc1", url)
	}
}

func TestFilesAreForThisUser(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "with", "parents")
	s := open(t, "file://"+filepath.ToSlash(dir)+"?create_dir=true&prefix=a/b/", nil)
	k := key(42, 1, "a")
	put(t, s, k, "x")
	for _, path := range []string{filepath.Dir(dir), dir, filepath.Join(dir, "a", "b", "42")} {
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o700), info.Mode().Perm(), path)
	}
	require.FileExists(t, filepath.Join(dir, "a", "b", k.Path()))
}

// endless is as many zeros as are read.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// A Put and a reader take the memory of some parts, whatever the size.
func TestMemoryIsBounded(t *testing.T) {
	const size, most = 160 << 20, 64 << 20
	s := open(t, s3test.Start(t).Bucket(t, "artifacts"), nil)
	used := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, peak, since := used(), uint64(0), 0
	watch := func(n int) {
		if since += n; since >= 4<<20 {
			since = 0
			peak = max(peak, used())
		}
	}
	k := key(1, 1, "a")
	info, err := s.Put(t.Context(), k, "", io.LimitReader(readerFunc(func(p []byte) (int, error) {
		watch(len(p))
		return len(p), nil
	}), size), 0)
	require.NoError(t, err)
	require.EqualValues(t, size, info.Size)
	require.Less(t, peak-before, uint64(most))
	t.Logf("put: %d MiB", (peak-before)>>20)

	before, peak = used(), 0
	r, err := s.Open(t.Context(), k)
	require.NoError(t, err)
	n, err := io.Copy(writerFunc(func(p []byte) (int, error) {
		watch(len(p))
		return len(p), nil
	}), r)
	require.NoError(t, err)
	require.EqualValues(t, size, n)
	require.NoError(t, r.Close())
	require.Less(t, peak-min(peak, before), uint64(8<<20))
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
