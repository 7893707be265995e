package snapshot

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/pkg/archive"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// untar unpacks one layer into an upper directory with containerd's archive package, which resolves every name within
// the directory, and does what that package leaves out.
type untar struct {
	upper  string
	bottom bool        // nothing lies below, so whiteouts have nothing to hide
	opaque string      // the attribute that hides what lies below
	root   *tar.Header // the entry of the root directory
	// Paths below upper, with the links resolved that were on the way when they were unpacked.
	explicit map[string]bool // directories with an entry
	implied  map[string]bool // directories that are only part of a name
	hidden   map[string]bool // by whiteouts
	last     *tar.Header     // the one before
}

func newUntar(upper string, bottom bool, opaque string) *untar {
	return &untar{upper: upper, bottom: bottom, opaque: opaque, explicit: map[string]bool{}, implied: map[string]bool{".": true}, hidden: map[string]bool{}, last: &tar.Header{}}
}

// unpack unpacks a layer in any compression and returns its diff-id. Three goroutines decompress, hash and write, each a
// few pieces ahead of the next.
func (u *untar) unpack(ctx context.Context, layer io.Reader) (digest.Digest, error) {
	plain, err := Decompress(layer)
	if err != nil {
		return "", err
	}
	defer plain.Close()
	decompressed := readAhead(ctx, plain)
	defer decompressed.Close()
	diffID := digest.Canonical.Digester()
	hashed := readAhead(ctx, io.TeeReader(decompressed, diffID.Hash()))
	defer hashed.Close()
	if err := u.run(ctx, hashed); err != nil {
		return "", err
	}
	// What follows the end of the archive is part of the diff-id.
	_, err = io.Copy(io.Discard, hashed)
	return diffID.Digest(), err
}

func (u *untar) run(ctx context.Context, r io.Reader) error {
	_, err := archive.Apply(ctx, u.upper, r, archive.WithFilter(u.check), archive.WithConvertWhiteout(u.begin))
	if err != nil {
		return err
	}
	// A name that the layer hides and makes again as a directory shows nothing from below.
	for hidden := range u.hidden {
		dir, err := findDir([]string{u.upper}, hidden, u.opaque)
		if err == nil && dir != "" {
			err = setOpaque(dir, u.opaque)
		}
		if err != nil {
			return err
		}
	}
	return u.setRoot()
}

// check refuses names that climb out of the root: they would be unpacked within it, but no honest archive has one. And
// it keeps the entry of the root, of which the archive package does not tell again.
func (u *untar) check(hdr *tar.Header) (bool, error) {
	if climbs(hdr.Name) || hdr.Typeflag == tar.TypeLink && climbs(hdr.Linkname) {
		return false, outside(hdr)
	}
	if path.Clean("/"+hdr.Name) == "/" {
		root := *hdr
		u.root = &root
		delete(u.implied, ".")
	}
	forget(u.last)
	u.last = hdr
	return true, nil
}

// forget drops what the archive package, which keeps the headers of directories until the end, does not need to set
// their times: one may have a megabyte of records, and its name may lie among them.
func forget(h *tar.Header) {
	*h = tar.Header{Typeflag: h.Typeflag, Name: strings.Clone(h.Name), ModTime: h.ModTime, AccessTime: h.AccessTime}
}

// climbs tells a name with more steps up than down.
func climbs(name string) bool {
	name = path.Clean(name)
	return name == ".." || strings.HasPrefix(name, "../")
}

func outside(hdr *tar.Header) error {
	if hdr.Typeflag == tar.TypeLink {
		return fmt.Errorf("hard link %q to %q leads outside of the image", hdr.Name, hdr.Linkname)
	}
	return fmt.Errorf("entry %q leads outside of the image", hdr.Name)
}

func (u *untar) impliedDirs() []string { return slices.Sorted(maps.Keys(u.implied)) }

const (
	whiteoutPrefix = ".wh."
	opaqueMarker   = ".wh..wh..opq"
)

// begin is told where an entry comes to lie, once the links on the way are resolved and before it is made.
func (u *untar) begin(hdr *tar.Header, at string) (write bool, err error) {
	name, err := filepath.Rel(u.upper, at)
	if err != nil {
		return false, err
	}
	u.note(hdr, name)
	return u.whiteout(name)
}

// note remembers which directories have an entry and which are only part of a name.
func (u *untar) note(hdr *tar.Header, name string) {
	if hdr.Typeflag == tar.TypeDir {
		u.explicit[name] = true
		delete(u.implied, name)
	}
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if u.explicit[dir] || u.implied[dir] {
			break
		}
		u.implied[dir] = true
	}
}

// whiteout turns markers into what overlayfs understands. A name that the same layer holds stays: markers hide what is
// below the layer, wherever in the archive they stand.
func (u *untar) whiteout(name string) (write bool, err error) {
	dir, base := path.Split(name)
	if !strings.HasPrefix(base, whiteoutPrefix) {
		return true, nil
	}
	if u.bottom {
		return false, nil
	}
	if base == opaqueMarker {
		return false, setOpaque(filepath.Join(u.upper, dir), u.opaque)
	}
	hidden := dir + strings.TrimPrefix(base, whiteoutPrefix)
	u.hidden[hidden] = true
	if at := filepath.Join(u.upper, hidden); !exists(at) {
		return false, unix.Mknod(at, unix.S_IFCHR, 0)
	}
	return false, nil
}

// setRoot gives the upper directory the metadata of the root's entry, which the archive package leaves out.
func (u *untar) setRoot() error {
	if u.root == nil {
		return nil
	}
	if err := os.Lchown(u.upper, u.root.Uid, u.root.Gid); err != nil {
		return fmt.Errorf("root directory: %w", err)
	}
	for key, value := range u.root.PAXRecords {
		attr, ok := strings.CutPrefix(key, "SCHILY.xattr.")
		if !ok || strings.HasPrefix(attr, "trusted.") {
			continue
		}
		if err := unix.Lsetxattr(u.upper, attr, []byte(value), 0); err != nil {
			return fmt.Errorf("root directory: set %s: %w", attr, err)
		}
	}
	if err := os.Chmod(u.upper, u.root.FileInfo().Mode()); err != nil {
		return fmt.Errorf("root directory: %w", err)
	}
	return os.Chtimes(u.upper, u.root.ModTime, u.root.ModTime)
}
