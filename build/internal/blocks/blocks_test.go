package blocks

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/lbuild/lbuild/diff/compress"
)

// shelf is a directory with blobs and an index.
type shelf struct {
	t     *testing.T
	dir   string
	blobs content.Store
}

func newShelf(t *testing.T) shelf {
	t.Helper()
	s := shelf{t: t, dir: t.TempDir()}
	blobs, err := local.NewStore(filepath.Join(s.dir, "content"))
	if err != nil {
		t.Fatal(err)
	}
	s.blobs = blobs
	return s
}

// index is a new one, as another process has it.
func (s shelf) index() *Index { return New(filepath.Join(s.dir, "blocks"), s.dir, s.blobs) }

func (s shelf) blobPath(d digest.Digest) string {
	return filepath.Join(s.dir, "content", "blobs", "sha256", d.Encoded())
}

// put stores a blob of these packed blocks behind a header, and remembers them under the keys 1, 2 and so on.
func (s shelf) put(x *Index, packed ...string) digest.Digest {
	s.t.Helper()
	ctx := context.Background()
	data := []byte("header")
	b := x.Blob(ctx)
	defer b.Close()
	for i, p := range packed {
		b.Made(compress.BlockKey{byte(i + 1)}, int64(len(data)), []byte(p))
		data = append(data, p...)
	}
	d := digest.FromBytes(data)
	err := content.WriteBlob(ctx, s.blobs, string(d), bytes.NewReader(data), ocispec.Descriptor{Digest: d, Size: int64(len(data))})
	if err == nil {
		err = b.Keep(d)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

// finds returns what an index has for the keys 1, 2 and so on, "" for what it does not have.
func (s shelf) finds(x *Index, keys int) (found []string) {
	s.t.Helper()
	b := x.Blob(context.Background())
	total := 0
	for i := range keys {
		packed, ok := b.Find(compress.BlockKey{byte(i + 1)}, []byte("before "))
		if !ok {
			packed = []byte("before ")
		}
		found = append(found, string(bytes.TrimPrefix(packed, []byte("before "))))
		total += len(found[i])
	}
	if b.Reused() != int64(total) {
		s.t.Errorf("%d bytes were reused, want %d", b.Reused(), total)
	}
	b.Close()
	return found
}

func (s shelf) want(x *Index, want ...string) {
	s.t.Helper()
	got := s.finds(x, len(want))
	for i := range want {
		if got[i] != want[i] {
			s.t.Errorf("key %d finds %q, want %q", i+1, got[i], want[i])
		}
	}
}

// remove takes a blob from the store, and nothing else.
func (s shelf) remove(d digest.Digest) {
	s.t.Helper()
	if err := s.blobs.Delete(context.Background(), d); err != nil {
		s.t.Fatal(err)
	}
}

// wantOnly fails the test unless the blob is the only one with a file.
func (s shelf) wantOnly(d digest.Digest) {
	s.t.Helper()
	entries, err := os.ReadDir(filepath.Join(s.dir, "blocks"))
	if err != nil || len(entries) != 1 || entries[0].Name() != d.Encoded() {
		s.t.Errorf("files %v, %v; want only that of %s", entries, err, d)
	}
}

func TestBlocksAreFoundInThisAndInOtherProcesses(t *testing.T) {
	s := newShelf(t)
	x := s.index()
	s.want(x, "")
	s.put(x, "one", "two")
	s.want(x, "one", "two", "")
	s.want(s.index(), "one", "two", "")
}

func TestRotIsNotTaken(t *testing.T) {
	s := newShelf(t)
	d := s.put(s.index(), "one", "two", "three")
	if err := os.Chmod(s.blobPath(d), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.blobPath(d), []byte("headeroneTwothr"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.want(s.index(), "one", "", "")
}

func TestFilesOfBlobsThatAreGoneGo(t *testing.T) {
	s := newShelf(t)
	x := s.index()
	d := s.put(x, "one")
	kept := s.put(x, "uno", "due")
	s.remove(d)
	s.want(s.index(), "uno", "due")
	s.wantOnly(kept)
}

// One index may outlive a blob that it knows.
func TestABlobThatGoesIsNoError(t *testing.T) {
	s := newShelf(t)
	x := s.index()
	d := s.put(x, "one")
	s.remove(d)
	s.want(x, "")
}

func TestTheNewestBlobIsTaken(t *testing.T) {
	s := newShelf(t)
	x := s.index()
	newer, older := s.put(x, "newer"), s.put(x, "older")
	s.want(x, "older")
	past := time.Now().Add(-time.Hour)
	if err := os.Chtimes(filepath.Join(s.dir, "blocks", older.Encoded()), past, past); err != nil {
		t.Fatal(err)
	}
	s.want(s.index(), "newer")
	s.remove(newer)
	s.want(s.index(), "older")
}

func TestWhatIsNoFileOfBlocksIsAsGoodAsNone(t *testing.T) {
	s := newShelf(t)
	d := s.put(s.index(), "one", "two")
	path := filepath.Join(s.dir, "blocks", d.Encoded())
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	far := bytes.Clone(whole)
	far[len(magic)+keySize+7] = 0xff // a negative place
	for what, data := range map[string][]byte{
		"empty": {}, "cut": whole[:len(whole)-1], "another format": append([]byte("x"), whole...),
		"zeros": make([]byte, len(whole)), "far": far,
		"zeros behind the first key": append(bytes.Clone(whole[:len(magic)+keySize]), make([]byte, len(whole)-len(magic)-keySize)...),
	} {
		t.Run(what, func(t *testing.T) {
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			s.want(s.index(), "", "")
		})
	}
}

func TestTidyLeavesTheFilesOfBlobsThatAreThere(t *testing.T) {
	s := newShelf(t)
	d, kept := s.put(s.index(), "one"), s.put(s.index(), "uno")
	s.remove(d)
	s.index().Tidy(context.Background())
	s.wantOnly(kept)
}

func TestABlockIsBoundToItsKey(t *testing.T) {
	s := newShelf(t)
	d := s.put(s.index(), "one", "two")
	path := filepath.Join(s.dir, "blocks", d.Encoded())
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(magic)], data[len(magic)+entrySize] = 2, 1
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	s.want(s.index(), "", "")
}

func TestADirectoryThatCannotBeWrittenIsSaid(t *testing.T) {
	s := newShelf(t)
	if err := os.WriteFile(filepath.Join(s.dir, "blocks"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b := s.index().Blob(context.Background())
	b.Made(compress.BlockKey{1}, 0, []byte("one"))
	if err := b.Keep(digest.FromString("blob")); err == nil {
		t.Error("no error")
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}
