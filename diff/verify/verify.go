// Package verify proves a layer: it unpacks it with containerd's archive package and compares the tree with the one that
// the layer was packed from.
//
// It shares no code with the packages that walk and pack, so that a mistake of theirs is not its own.
package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/lbuild/lbuild/diff"
	"github.com/opencontainers/go-digest"
)

// Options says what a layer was packed from.
type Options struct {
	// Upper is the upper directory, and Lower are the lower ones, topmost first.
	Upper string
	Lower []string
	// UserXattr says that overlay's marks in them are in user.overlay. instead of trusted.overlay.
	UserXattr bool
	// Epoch is the latest time that the layer was to hold. Default: any.
	Epoch *time.Time
	// Digest is that of the blob, DiffID that of the tar in it. Default: any.
	Digest, DiffID digest.Digest
	// Scratch is a directory to unpack in. What is made there is gone when Layer returns. Default: that for temporary files.
	Scratch string
}

// Layer reads a blob, compressed or not, to its end and unpacks it over the lower directories. The error is a
// *diff.PathError with the first path where the result is not what the upper directory makes of them.
//
// Compared are type, permissions, owner, device number, size, target, content, links between names, extended attributes and,
// in whole seconds, modification times. Not compared is what no layer holds or containerd does not unpack: sockets,
// the time of the root, trusted attributes, labels and measurements of the machine (security.selinux, .ima, .evm, NFS
// ACLs), the user namespace of capabilities, and times before 1970, which are unpacked as 1970.
//
// Both trees are mounted, which needs the right to mount overlays. What is in neither upper directory is the same file
// of a lower one, and is not looked at: the cost grows with the layer, not with what is below it.
func Layer(ctx context.Context, blob io.Reader, opts Options) (err error) {
	scratch, err := os.MkdirTemp(opts.Scratch, "verify-")
	if err != nil {
		return fmt.Errorf("make a place to unpack: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	unpacked := filepath.Join(scratch, "upper")
	if err := opts.unpack(ctx, blob, unpacked); err != nil {
		return fmt.Errorf("unpack the layer: %w", err)
	}
	want, err := opts.mount(scratch, opts.Upper)
	if err != nil {
		return err
	}
	defer want.close()
	got, err := opts.mount(scratch, unpacked)
	if err != nil {
		return err
	}
	defer got.close()
	c := &comparer{opts: opts, want: links{}, got: links{}, one: make([]byte, compareBuffer), other: make([]byte, compareBuffer)}
	return c.root(ctx, want, got)
}

// difference is an error that belongs to a path of the trees.
func difference(path, format string, args ...any) error {
	return &diff.PathError{Op: "verify", Path: path, Err: fmt.Errorf(format, args...)}
}
