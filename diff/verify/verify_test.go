package verify_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/lbuild/lbuild/diff"
	"github.com/lbuild/lbuild/diff/compress"
	"github.com/lbuild/lbuild/diff/internal/treetest"
	"github.com/lbuild/lbuild/diff/layer"
	"github.com/lbuild/lbuild/diff/verify"
)

const lowerTree = `
	kept/
	kept/f "kept"
	d/
	d/f "1234"
	d/gone "1"
	d/link -> f
	d/tty char=5:1
	one "1"
	two => one
`

// step changes something of every kind.
const step = `
	printf 4321 > d/f; touch -d @1000000000 d/f; chmod 600 d/f; setfattr -n user.k -v "1" d/f
	rm d/gone; ln -sfn kept/f d/link; rm d/tty; mknod d/tty c 5 2; mkfifo d/fifo; chown 1:2 d/fifo
	printf x > new; ln new d/new
	rm -r kept; mkdir kept; printf y > kept/g
	mkdir -p a/b; chmod 0700 a/b; setfattr -n user.k -v "2" a/b
	chmod 0750 .
	chown 0:0 one`

// packed is a step on an overlay and its layer.
type packed struct {
	opts   verify.Options
	layer  layer.Result
	blob   []byte
	merged string
}

func pack(t *testing.T, mount []string, codec, step string) packed {
	t.Helper()
	o := treetest.Mount(t, treetest.Lower(t, lowerTree), treetest.Options{Mount: mount})
	o.Sh(t, step)
	userXattr := len(mount) > 0 && mount[0] == "userxattr"
	var buf bytes.Buffer
	ctx := context.Background()
	changes := diff.Upper(ctx, diff.UpperOptions{Upper: o.Upper, Lower: o.Lower, UserXattr: userXattr})
	result, err := layer.Write(ctx, &buf, changes, layer.Options{Compression: compress.Compression{Name: codec}})
	if err != nil {
		t.Fatal(err)
	}
	return packed{
		opts: verify.Options{
			Upper: o.Upper, Lower: o.Lower, UserXattr: userXattr, Scratch: t.TempDir(),
			Digest: result.Digest, DiffID: result.DiffID,
		},
		layer: result, blob: buf.Bytes(), merged: o.Merged,
	}
}

func (p packed) verify(blob []byte) error {
	return verify.Layer(context.Background(), bytes.NewReader(blob), p.opts)
}

func TestLayerPassesWhatUnpacksRight(t *testing.T) {
	for _, tc := range []struct {
		name  string
		mount []string
		codec string
	}{
		{"gzip", nil, compress.Gzip},
		{"zstd", nil, compress.Zstd},
		{"none", nil, compress.None},
		{"userxattr", []string{"userxattr"}, compress.None},
		{"redirects", []string{"redirect_dir=on", "metacopy=on"}, compress.None},
	} {
		t.Run(tc.name, func(t *testing.T) {
			more := ""
			if tc.name == "redirects" {
				more = "; mv d moved; chmod 0600 moved/f two; mkdir d"
			}
			p := pack(t, tc.mount, tc.codec, step+more)
			if err := p.verify(p.blob); err != nil {
				t.Error(err)
			}
			if left, err := os.ReadDir(p.opts.Scratch); len(left) > 0 || err != nil {
				t.Errorf("left %v, %v", left, err)
			}
		})
	}
}

func TestLayerPassesAnEmptyOne(t *testing.T) {
	p := pack(t, nil, compress.None, "mv one t; mv t one; touch -d @1000000000 .")
	p.opts.Digest, p.opts.DiffID = "", ""
	if err := p.verify(nil); err != nil {
		t.Error(err)
	}
}

func TestLayerComparesTimesUpToTheEpoch(t *testing.T) {
	p := pack(t, nil, compress.None, "printf x > new")
	epoch := time.Unix(500, 0)
	clamped := edit(t, p.blob, func(hdr *tar.Header, _ *[]byte) { hdr.ModTime = epoch })
	p.opts.Digest, p.opts.DiffID, p.opts.Epoch = "", "", &epoch
	if err := p.verify(clamped); err != nil {
		t.Error(err)
	}
	p.opts.Epoch = nil
	if err := p.verify(clamped); err == nil {
		t.Error("passes other times without an epoch")
	}
}

// edit changes the entries of a tar. One whose name becomes empty is left out.
func edit(t *testing.T, blob []byte, change func(*tar.Header, *[]byte)) []byte {
	t.Helper()
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	for tr := tar.NewReader(bytes.NewReader(blob)); ; {
		hdr, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		change(hdr, &content)
		if hdr.Name == "" {
			continue
		}
		hdr.Size = int64(len(content))
		if err := tw.WriteHeader(hdr); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// setAttribute gives an entry one attribute, or none if the value is "".
func setAttribute(hdr *tar.Header, name, value string) {
	*hdr = tar.Header{
		Typeflag: hdr.Typeflag, Name: hdr.Name, Mode: hdr.Mode, Uid: hdr.Uid, Gid: hdr.Gid, ModTime: hdr.ModTime, Size: hdr.Size,
	}
	if value != "" {
		hdr.PAXRecords = map[string]string{"SCHILY.xattr." + name: value}
	}
}

func TestLayerNamesThePathOfEachDifference(t *testing.T) {
	p := pack(t, nil, compress.None, step)
	p.opts.Digest, p.opts.DiffID = "", ""
	for _, tc := range []struct {
		name, entry string
		damage      func(*tar.Header, *[]byte)
		want        string
	}{
		{"entry lost", "a/b/", func(h *tar.Header, _ *[]byte) { h.Name = "" }, `verify "a": the layer lacks the name "b"`},
		{"whiteout lost", "d/.wh.gone", func(h *tar.Header, _ *[]byte) { h.Name = "" }, `verify "d": the layer leaves the name "gone"`},
		{"opaque marker lost", "kept/.wh..wh..opq", func(h *tar.Header, _ *[]byte) { h.Name = "" }, `verify "kept": the layer leaves the name "f"`},
		{"type", "d/fifo", func(h *tar.Header, _ *[]byte) { h.Typeflag = tar.TypeReg }, `verify "d/fifo": it is a fifo, and a regular file in the layer`},
		{"mode", "d/f", func(h *tar.Header, _ *[]byte) { h.Mode = 0o644 }, `verify "d/f": its mode is 0600, and 0644 in the layer`},
		{"setuid bit", "d/f", func(h *tar.Header, _ *[]byte) { h.Mode = 0o4600 }, `verify "d/f": its mode is 0600, and 4600 in the layer`},
		{"mode of the root", "./", func(h *tar.Header, _ *[]byte) { h.Mode = 0o755 }, `verify ".": its mode is 0750, and 0755 in the layer`},
		{"owner", "d/fifo", func(h *tar.Header, _ *[]byte) { h.Gid = 0 }, `verify "d/fifo": its owner is 1:2, and 1:0 in the layer`},
		{"size", "d/new", func(_ *tar.Header, c *[]byte) { *c = nil }, `verify "d/new": its size is 1, and 0 in the layer`},
		{"content", "d/f", func(_ *tar.Header, c *[]byte) { *c = []byte("4322") }, `verify "d/f": its content differs from that in the layer after byte 0`},
		{"time", "d/f", func(h *tar.Header, _ *[]byte) { h.ModTime = time.Unix(5, 0) }, `verify "d/f": its time is 1000000000, and 5 in the layer`},
		{"device", "d/tty", func(h *tar.Header, _ *[]byte) { h.Devminor = 1 }, `verify "d/tty": it is the device 5:2, and 5:1 in the layer`},
		{"target", "d/link", func(h *tar.Header, _ *[]byte) { h.Linkname = "kept/g" }, `verify "d/link": it links to "kept/f", and to "kept/g" in the layer`},
		{"attribute lost", "a/b/", func(h *tar.Header, _ *[]byte) { setAttribute(h, "user.k", "") }, `verify "a/b": its attribute user.k is "2", and "" in the layer`},
		{"attribute too many", "d/new", func(h *tar.Header, _ *[]byte) { setAttribute(h, "user.k", "1") }, `verify "d/new": the layer has attributes that it has not: ["user.k"]`},
		{"link lost", "new", func(h *tar.Header, c *[]byte) {
			h.Typeflag, h.Linkname, *c = tar.TypeReg, "", []byte("x")
		}, `verify "new": it is one file with "d/new", and another one in the layer`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			found := false
			blob := edit(t, p.blob, func(h *tar.Header, c *[]byte) {
				if h.Name == tc.entry {
					found = true
					tc.damage(h, c)
				}
			})
			if !found {
				t.Fatalf("the layer has no entry %s", tc.entry)
			}
			err := p.verify(blob)
			if _, ok := errors.AsType[*diff.PathError](err); !ok || err.Error() != tc.want {
				t.Errorf("error is %v\nwant        %s", err, tc.want)
			}
		})
	}
}

func TestLayerFindsNamesThatTheLayerMadeOneFile(t *testing.T) {
	p := pack(t, nil, compress.None, "printf x > new; cp -p new same; touch -r new same")
	p.opts.Digest, p.opts.DiffID = "", ""
	blob := edit(t, p.blob, func(h *tar.Header, c *[]byte) {
		if h.Name == "same" {
			h.Typeflag, h.Linkname, *c = tar.TypeLink, "new", nil
		}
	})
	want := `verify "same": it is another file than "new", and one with it in the layer`
	if err := p.verify(blob); err == nil || err.Error() != want {
		t.Errorf("error is %v, want %s", err, want)
	}
}

func TestLayerFindsAnEntryOfAnUnchangedFile(t *testing.T) {
	p := pack(t, nil, compress.None, "printf x > new")
	p.opts.Digest, p.opts.DiffID = "", ""
	blob := edit(t, p.blob, func(h *tar.Header, _ *[]byte) {
		if h.Name == "new" {
			h.Name = "d/f"
		}
	})
	if err := p.verify(blob); err == nil {
		t.Error("passes")
	}
}

func TestLayerComparesDigests(t *testing.T) {
	p := pack(t, nil, compress.Gzip, step)
	for _, tc := range []struct {
		name string
		edit func(*verify.Options)
		want string
	}{
		{"blob", func(o *verify.Options) { o.Digest = o.DiffID }, "unpack the layer: its digest is sha256:"},
		{"tar", func(o *verify.Options) { o.DiffID = o.Digest }, "unpack the layer: its diff-id is sha256:"},
	} {
		damaged := p
		tc.edit(&damaged.opts)
		if err := damaged.verify(p.blob); err == nil || !strings.HasPrefix(err.Error(), tc.want) {
			t.Errorf("%s: error is %v, want %s…", tc.name, err, tc.want)
		}
	}
	cut := p.blob[:len(p.blob)-20]
	if err := p.verify(cut); err == nil {
		t.Error("passes a blob that is cut off")
	}
}

func TestLayerComparesOnManyLowerDirectories(t *testing.T) {
	trees := make([]string, 120)
	for i := range trees {
		trees[i] = lowerTree
	}
	lower := treetest.Lower(t, trees...)
	o := treetest.Mount(t, lower, treetest.Options{})
	o.Sh(t, step)
	var buf bytes.Buffer
	ctx := context.Background()
	if _, err := layer.Write(ctx, &buf, diff.Upper(ctx, diff.UpperOptions{Upper: o.Upper, Lower: lower}), layer.Options{}); err != nil {
		t.Fatal(err)
	}
	if err := verify.Layer(ctx, &buf, verify.Options{Upper: o.Upper, Lower: lower}); err != nil {
		t.Error(err)
	}
}

func TestLayerLeavesNoMount(t *testing.T) {
	p := pack(t, nil, compress.None, step)
	if err := errors.Join(p.verify(p.blob), p.verify(p.blob)); err != nil {
		t.Fatal(err)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, p.opts.Scratch+"/") {
			t.Errorf("left mounted: %s", line)
		}
	}
	if left, err := os.ReadDir(p.opts.Scratch); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
