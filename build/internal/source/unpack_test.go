package source

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/base64"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// xzSample and bzip2Sample are the archive that holds sampleEntry; there is no compressor for them here.
const (
	xzSample    = "/Td6WFoAAAFpIt42AgAhARAAAACocI6G4Af/AEVdADCLyMAOUCcI/OcAo4BJsnWrEdVI51pjORe6U3aW5pXzu4LZyiYjeZ8b6g4yljoaM4aU1ZGTmotH/sf5X/WczHFnQuYMAAAAAAC9PW8kAAFdgBAAAAD5KLqSPjANiwIAAAAAAVla"
	bzip2Sample = "QlpoOTFBWSZTWdmIsRoAAG9bgNMAYAD9gAACYQAeQAgIIABUQmjQAANAklHogMahoH3OhghB64IRDXlasQ80CGBi9sZMh2EaIQK+rqkRYNpqDPd0RE88REA+LuSKcKEhsxFiNA=="
)

var sampleEntry = tar.Header{Name: "a/f", Typeflag: tar.TypeReg, Mode: 0o640, Uid: 3, Gid: 4, Linkname: "x"}

// makeTar makes an archive; the content of a file stands in its Linkname.
func makeTar(tb testing.TB, headers ...tar.Header) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		var data string
		if h.Typeflag == tar.TypeReg {
			data, h.Linkname = h.Linkname, ""
			h.Size = int64(len(data))
		}
		must(tb, w.WriteHeader(&h))
		_, err := io.WriteString(w, data)
		must(tb, err)
	}
	must(tb, w.Close())
	return b.Bytes()
}

// compressed are the formats in which an archive may come.
func compressed(tb testing.TB, plain []byte) map[string][]byte {
	tb.Helper()
	pack := func(open func(io.Writer) (io.WriteCloser, error)) []byte {
		var b bytes.Buffer
		w, err := open(&b)
		must(tb, err)
		_, err = w.Write(plain)
		must(tb, err)
		must(tb, w.Close())
		return b.Bytes()
	}
	return map[string][]byte{
		"plain": plain,
		"gzip":  pack(func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil }),
		"bzip2": unbase64(tb, bzip2Sample),
		"xz":    unbase64(tb, xzSample),
		"zstd":  pack(func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) }),
	}
}

func unbase64(tb testing.TB, text string) []byte {
	tb.Helper()
	data, err := base64.StdEncoding.DecodeString(text)
	must(tb, err)
	return data
}

// addArchive runs ADD of one file with the given content.
func addArchive(tb testing.TB, data []byte, root, dest string, opts CopyOptions) error {
	tb.Helper()
	dir := makeTree(tb, "")
	must(tb, os.WriteFile(filepath.Join(dir, "x.bin"), data, 0o644))
	opts.Unpack = true
	return Copy(tb.Context(), root, selectAll(tb, openTree(tb, dir, Options{}), "x.bin"), dest, opts)
}

func TestAddUnpacksEveryFormat(t *testing.T) {
	requireRoot(t)
	for name, data := range compressed(t, makeTar(t, sampleEntry)) {
		t.Run(name, func(t *testing.T) {
			root := makeTree(t, "")
			must(t, addArchive(t, data, root, "/new", CopyOptions{}))
			checkTree(t, root, lines("new/", "new/a/", map[bool]string{
				true: `new/a/f "x" 640 3:4 @50`, false: `new/a/f "x" 640 3:4 @0`,
			}[name == "bzip2"]))
		})
	}
}

func TestAddUnpacks(t *testing.T) {
	tests := []struct {
		name    string
		entries []tar.Header
		into    string
		dest    string
		opts    CopyOptions
		want    string
	}{
		{
			name: "with the owner asked for, and its own modes", dest: "/d/", opts: CopyOptions{Owner: &Owner{UID: 7, GID: 8}, Mode: "600"},
			entries: []tar.Header{{Name: "s/", Typeflag: tar.TypeDir, Mode: 0o711, Uid: 1}, {Name: "s/f", Typeflag: tar.TypeReg, Mode: 0o640, Linkname: "x"}},
			want:    lines(`d/ 7:8`, `d/s/ 711 7:8 @0`, `d/s/f "x" 640 7:8 @0`),
		},
		{
			name: "whiteout names as files", dest: "/", into: lines(`f "kept"`, `d/g "kept"`),
			entries: []tar.Header{{Name: ".wh.f", Typeflag: tar.TypeReg, Mode: 0o644}, {Name: "d/.wh..wh..opq", Typeflag: tar.TypeReg, Mode: 0o644}},
			want:    lines(`.wh.f "" @0`, `d/`, `d/.wh..wh..opq "" @0`, `d/g "kept"`, `f "kept"`),
		},
		{
			name: "over what is there", dest: "/", into: lines(`bin -> usr/bin`, `usr/bin/`, `d/g "kept"`, `e/x "gone"`),
			entries: []tar.Header{
				{Name: "bin/sh", Typeflag: tar.TypeReg, Mode: 0o755, Linkname: "x"},
				{Name: "d/", Typeflag: tar.TypeDir, Mode: 0o700},
				{Name: "e", Typeflag: tar.TypeReg, Mode: 0o644, Linkname: "file"},
			},
			want: lines(`bin -> usr/bin`, `d/ 700 @0`, `d/g "kept"`, `e "file" @0`, `usr/`, `usr/bin/`, `usr/bin/sh "x" 755 @0`),
		},
		{
			name: "escapes stay inside dest", dest: "/d", into: `etc/passwd "kept"`,
			entries: []tar.Header{
				{Name: "../../f", Typeflag: tar.TypeReg, Mode: 0o644, Linkname: "1"},
				{Name: "/g", Typeflag: tar.TypeReg, Mode: 0o644, Linkname: "2"},
				{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "../../../etc"},
				{Name: "l/passwd", Typeflag: tar.TypeReg, Mode: 0o644, Linkname: "3"},
			},
			want: lines(`d/`, `d/etc/`, `d/etc/passwd "3" @0`, `d/f "1" @0`, `d/g "2" @0`, `d/l -> ../../../etc @0`, `etc/`, `etc/passwd "kept"`),
		},
		{
			name: "global headers are nothing", dest: "/", into: `pax_global_header "kept"`,
			entries: []tar.Header{{Name: "pax_global_header", Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": "c"}}, sampleEntry},
			want:    lines(`a/`, `a/f "x" 640 3:4 @0`, `pax_global_header "kept"`),
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			requireRoot(t)
			root := makeTree(t, tt.into)
			must(t, addArchive(t, makeTar(t, tt.entries...), root, tt.dest, tt.opts))
			checkTree(t, root, tt.want)
		})
	}
}

func TestAddCopiesWhatOnlyLooksLikeAnArchive(t *testing.T) {
	requireRoot(t)
	plain := makeTar(t, sampleEntry)
	badSum := bytes.Clone(plain)
	badSum[0] = 'b'
	for name, data := range map[string][]byte{
		"bad checksum": badSum, "short": plain[:500], "empty": nil, "no entries": makeTar(t), "text": []byte("hello"), "gzip of nothing": {0x1f, 0x8b, 0x08},
		"xz magic": []byte("\xfd7zXZ\x00 no"), "zstd magic": []byte("\x28\xb5\x2f\xfd no"), "bzip2 magic": []byte("BZhello"),
		"gzip of text": compressed(t, []byte("hello"))["gzip"],
	} {
		t.Run(name, func(t *testing.T) {
			root := makeTree(t, "")
			must(t, addArchive(t, data, root, "/d/", CopyOptions{}))
			got, err := os.ReadFile(filepath.Join(root, "d/x.bin"))
			must(t, err)
			if !bytes.Equal(got, data) {
				t.Errorf("got %q, want %q", got, data)
			}
		})
	}
}

func TestAddFailsOnTruncatedArchive(t *testing.T) {
	big := tar.Header{Name: "f", Typeflag: tar.TypeReg, Mode: 0o644, Linkname: strings.Repeat("x", 4096)}
	data := makeTar(t, big)[:2000]
	checkError(t, addArchive(t, data, makeTree(t, ""), "/", CopyOptions{}), io.ErrUnexpectedEOF, `copy "x.bin": unpack`)
}

func TestCopyLeavesArchivesAlone(t *testing.T) {
	requireRoot(t)
	dir, root := makeTree(t, ""), makeTree(t, "")
	must(t, os.WriteFile(filepath.Join(dir, "x"), makeTar(t, sampleEntry), 0o644))
	must(t, Copy(t.Context(), root, selectAll(t, openTree(t, dir, Options{}), "x"), "/x", CopyOptions{}))
	if fi, err := os.Stat(filepath.Join(root, "x")); err != nil || !fi.Mode().IsRegular() {
		t.Errorf("%v, %v; want a file", fi, err)
	}
}

func TestAddOfSeveralArchivesNeedsNoSlash(t *testing.T) {
	requireRoot(t)
	dir, root := makeTree(t, ""), makeTree(t, "")
	other := sampleEntry
	other.Name = "g"
	must(t, os.WriteFile(filepath.Join(dir, "1"), makeTar(t, sampleEntry), 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "2"), makeTar(t, other), 0o644))
	sel := selectAll(t, openTree(t, dir, Options{}), "1", "2")
	must(t, Copy(t.Context(), root, sel, "/d", CopyOptions{Unpack: true}))
	checkTree(t, root, lines(`d/`, `d/a/`, `d/a/f "x" 640 3:4 @0`, `d/g "x" 640 3:4 @0`))
}

// meddler is a context that does something once somebody looks at it.
type meddler struct {
	context.Context
	once sync.Once
	do   func()
}

func (m *meddler) Done() <-chan struct{} {
	m.once.Do(m.do)
	return m.Context.Done()
}

func TestAddRefusesAnArchiveThatChangesWhileItIsUnpacked(t *testing.T) {
	requireRoot(t)
	dir := makeTree(t, "")
	archive := filepath.Join(dir, "x")
	must(t, os.WriteFile(archive, makeTar(t, sampleEntry), 0o644))
	sel := selectAll(t, openTree(t, dir, Options{}), "x")
	time.Sleep(20 * time.Millisecond) // more than a tick of the clock of a file system
	ctx := &meddler{Context: t.Context(), do: func() { must(t, os.Chmod(archive, 0o600)) }}
	checkError(t, Copy(ctx, makeTree(t, ""), sel, "/d", CopyOptions{Unpack: true}), ErrChanged, `"x"`)
}

func TestExtractMakesContext(t *testing.T) {
	for name, data := range compressed(t, makeTar(t, sampleEntry)) {
		t.Run(name, func(t *testing.T) {
			dir := makeTree(t, "")
			must(t, Extract(t.Context(), bytes.NewReader(data), dir))
			got, err := os.ReadFile(filepath.Join(dir, "a/f"))
			if err != nil || string(got) != "x" {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestExtractRefusesWhatIsNoArchive(t *testing.T) {
	text := []byte(strings.Repeat("FROM scratch\n", 100))
	checkError(t, Extract(t.Context(), bytes.NewReader(text), t.TempDir()), tar.ErrHeader, "not a tar archive")
}

func TestExtractStaysInside(t *testing.T) {
	outer := makeTree(t, lines(`in/`, `victim "kept"`))
	entries := []tar.Header{
		{Name: "../victim", Typeflag: tar.TypeReg, Mode: 0o644, Linkname: "1"},
		{Name: "up", Typeflag: tar.TypeSymlink, Linkname: ".."},
		{Name: "up/victim", Typeflag: tar.TypeReg, Mode: 0o644, Linkname: "2"},
		{Name: "abs", Typeflag: tar.TypeSymlink, Linkname: outer + "/victim"},
		{Name: "abs", Typeflag: tar.TypeReg, Mode: 0o644, Linkname: "3"},
	}
	must(t, Extract(t.Context(), bytes.NewReader(makeTar(t, entries...)), filepath.Join(outer, "in")))
	if got, err := os.ReadFile(filepath.Join(outer, "victim")); err != nil || string(got) != "kept" {
		t.Errorf("the file outside is %q, %v", got, err)
	}
	hard := makeTar(t, tar.Header{Name: "h", Typeflag: tar.TypeLink, Linkname: "../victim"}, tar.Header{Name: "h", Typeflag: tar.TypeReg, Linkname: "4"})
	_ = Extract(t.Context(), bytes.NewReader(hard), filepath.Join(outer, "in")) // an error is right too
	if got, err := os.ReadFile(filepath.Join(outer, "victim")); err != nil || string(got) != "kept" {
		t.Errorf("the file outside is %q, %v", got, err)
	}
}

func FuzzExtract(f *testing.F) {
	for _, data := range compressed(f, makeTar(f, sampleEntry, tar.Header{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "../.."})) {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		outer := t.TempDir()
		dir := filepath.Join(outer, "in")
		must(t, os.Mkdir(dir, 0o755))
		_ = Extract(t.Context(), bytes.NewReader(data), dir)
		if left, err := os.ReadDir(outer); err != nil || len(left) != 1 {
			t.Fatalf("outside lies %v, %v", left, err)
		}
	})
}
