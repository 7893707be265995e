package layer_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io/fs"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/lbuild/lbuild/diff"
	"github.com/lbuild/lbuild/diff/compress"
	"github.com/lbuild/lbuild/diff/layer"
)

// FuzzEntry writes entries with names, targets and attributes as a file system may have them, and reads them back. What
// comes is the same or an error with the path.
func FuzzEntry(f *testing.F) {
	long := strings.Repeat("n", 300)
	f.Add("f", "target", "user.k", "v", uint16(0o644), uint8(0), uint32(0), uint32(0), int64(0), uint32(0))
	f.Add("d/\xff\n", "\xfe", "user.a=b", "\x00\n=", uint16(0o7777), uint8(1), uint32(1<<21), uint32(1<<32-1), int64(-5), uint32(1<<31))
	f.Add(long+"/"+long, long, "security.capability", "", uint16(0), uint8(2), uint32(3), uint32(4), int64(1<<40), uint32(70_000))
	f.Add(".wh.x", ".wh..wh..opq", "", "", uint16(0o4755), uint8(3), uint32(0), uint32(0), int64(-1<<62), uint32(0))
	f.Add("a b/ü", "../../etc", "trusted.overlay.opaque", "y", uint16(0o1000), uint8(4), uint32(0), uint32(0), int64(1<<33), uint32(255))
	f.Fuzz(func(t *testing.T, name, target, key, value string, mode uint16, kind uint8, uid, gid uint32, sec int64, dev uint32) {
		if name != path.Clean(name) || !filepath.IsLocal(name) || target == "" || strings.Contains(name+target+key, "\x00") {
			return // no file system has them
		}
		types := []fs.FileMode{fs.ModeDir, fs.ModeSymlink, fs.ModeNamedPipe, fs.ModeDevice, fs.ModeDevice | fs.ModeCharDevice, 0}
		c := diff.Change{
			Kind: diff.Add, Path: name, Mode: types[int(kind)%len(types)] | bitsOf(mode), UID: int(uid), GID: int(gid),
			ModTime: time.Unix(sec, 999),
		}
		switch c.Mode.Type() {
		case 0:
			c.Hardlink = target // a file without content of its own
		case fs.ModeSymlink:
			c.Linkname = target
		case fs.ModeDevice, fs.ModeDevice | fs.ModeCharDevice:
			c.Major, c.Minor = dev, dev/2
		}
		if key != "" && !strings.HasPrefix(key, "=") {
			c.Xattrs = []diff.Xattr{{Name: key, Value: value}}
		}
		var blob bytes.Buffer
		plain := layer.Options{Compression: compress.Compression{Name: compress.None}}
		if _, err := layer.Write(context.Background(), &blob, one(c), plain); err != nil {
			if pathErr := (*diff.PathError)(nil); !errors.As(err, &pathErr) || pathErr.Path != name {
				t.Fatalf("%+v: %v", c, err)
			}
			return
		}
		hdr, err := tar.NewReader(&blob).Next()
		if err != nil {
			t.Fatalf("%+v: %v", c, err)
		}
		if d := cmp.Diff(wantEntry(c), gotEntry(hdr)); d != "" {
			t.Fatalf("%+v (-want +got):\n%s", c, d)
		}
	})
}

func bitsOf(mode uint16) fs.FileMode {
	m := fs.FileMode(mode & 0o777)
	for bit, is := range map[uint16]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if mode&bit != 0 {
			m |= is
		}
	}
	return m
}

// entry is what a header and a change have in common.
type entry struct {
	Name, Link   string
	Mode         fs.FileMode
	UID, GID     int
	Sec          int64
	Major, Minor int64
	Xattrs       map[string]string
}

func wantEntry(c diff.Change) entry {
	e := entry{
		Name: c.Path, Link: c.Linkname + c.Hardlink, Mode: c.Mode, UID: c.UID, GID: c.GID,
		Sec: c.ModTime.Unix(), Major: int64(c.Major), Minor: int64(c.Minor), Xattrs: map[string]string{},
	}
	for _, x := range c.Xattrs {
		e.Xattrs[x.Name] = x.Value
	}
	return e
}

func gotEntry(hdr *tar.Header) entry {
	e := entry{
		Name: strings.TrimSuffix(hdr.Name, "/"), Link: hdr.Linkname, Mode: hdr.FileInfo().Mode(), UID: hdr.Uid, GID: hdr.Gid,
		Sec: hdr.ModTime.Unix(), Major: hdr.Devmajor, Minor: hdr.Devminor, Xattrs: map[string]string{},
	}
	for key, value := range hdr.PAXRecords {
		if name, ok := strings.CutPrefix(key, "SCHILY.xattr."); ok {
			e.Xattrs[name] = value
		}
	}
	return e
}
