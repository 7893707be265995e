package verify

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/pkg/archive"
	"github.com/containerd/containerd/v2/pkg/archive/compression"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// unpack makes upper an upper directory with the content of the blob.
func (o Options) unpack(ctx context.Context, blob io.Reader, upper string) (err error) {
	if err := o.makeRoot(upper); err != nil {
		return err
	}
	blobDigest, diffID := digest.Canonical.Digester(), digest.Canonical.Digester()
	blob = io.TeeReader(blob, blobDigest.Hash())
	plain, err := compression.DecompressStream(blob)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, plain.Close()) }()
	tar := io.TeeReader(plain, diffID.Hash())
	if err := o.apply(ctx, tar, upper); err != nil {
		return err
	}
	// What follows the archive is part of the digests.
	for _, r := range []io.Reader{tar, blob} {
		if _, err := io.Copy(io.Discard, r); err != nil {
			return err
		}
	}
	return errors.Join(
		sameDigest("digest", blobDigest.Digest(), o.Digest),
		sameDigest("diff-id", diffID.Digest(), o.DiffID),
	)
}

func sameDigest(what string, got, want digest.Digest) error {
	if want != "" && got != want {
		return fmt.Errorf("its %s is %s, not %s", what, got, want)
	}
	return nil
}

// makeRoot makes the root as the lower directories show it: a layer says nothing of a root that did not change.
func (o Options) makeRoot(upper string) error {
	if err := os.Mkdir(upper, 0o755); err != nil || len(o.Lower) == 0 {
		return err
	}
	var st unix.Stat_t
	if err := unix.Stat(o.Lower[0], &st); err != nil {
		return fmt.Errorf("root of %s: %w", o.Lower[0], err)
	}
	attrs, err := xattrs(o.Lower[0], o.marks())
	if err != nil {
		return err
	}
	return setRoot(upper, int(st.Uid), int(st.Gid), st.Mode&0o7777, attrs)
}

func setRoot(upper string, uid, gid int, mode uint32, attrs map[string]string) error {
	if err := os.Lchown(upper, uid, gid); err != nil {
		return err
	}
	for key, value := range attrs {
		if err := unix.Lsetxattr(upper, key, []byte(value), 0); err != nil {
			return fmt.Errorf("root: set %s: %w", key, err)
		}
	}
	return unix.Chmod(upper, mode)
}

// apply unpacks a tar. The archive package leaves the entry of the root out.
func (o Options) apply(ctx context.Context, r io.Reader, upper string) error {
	var root *tar.Header
	note := func(hdr *tar.Header) (bool, error) {
		if hdr.Name == "." {
			root = hdr
		}
		return true, nil
	}
	_, err := archive.Apply(ctx, upper, r, archive.WithFilter(note), archive.WithConvertWhiteout(o.whiteout))
	if err != nil || root == nil {
		return err
	}
	attrs := map[string]string{}
	for key, value := range root.PAXRecords {
		if name, ok := strings.CutPrefix(key, "SCHILY.xattr."); ok && !ignored(name) {
			attrs[name] = value
		}
	}
	if err := removeXattrs(upper, o.marks()); err != nil {
		return err
	}
	return setRoot(upper, root.Uid, root.Gid, uint32(root.Mode)&0o7777, attrs)
}

// whiteout makes of a marker what overlayfs understands.
func (o Options) whiteout(hdr *tar.Header, path string) (write bool, err error) {
	if o.UserXattr && filepath.Base(path) == ".wh..wh..opq" {
		return false, unix.Setxattr(filepath.Dir(path), o.marks()+"opaque", []byte("y"), 0)
	}
	return archive.OverlayConvertWhiteout(hdr, path)
}

// marks begins the names of overlay's own attributes.
func (o Options) marks() string {
	if o.UserXattr {
		return "user.overlay."
	}
	return "trusted.overlay."
}
