package pack

import (
	"context"
	"errors"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/lbuild/lbuild/diff/layer"
	"github.com/lbuild/lbuild/diff/verify"
	"github.com/lbuild/lbuild/snapshot"
)

// verify unpacks a layer, as it lies in the store, over the parent of the snapshot that it was packed from, and compares
// the two trees.
func (b *Build) verify(ctx context.Context, dirs snapshot.Dirs, l layer.Result) error {
	opts := verify.Options{
		Upper: dirs.Upper, Lower: dirs.Lower, UserXattr: dirs.UserXattr, Epoch: b.Epoch, Scratch: b.Scratch,
	}
	if l.Entries == 0 {
		return verify.Layer(ctx, strings.NewReader(""), opts) // there is no layer, so the tree is the parent's
	}
	blob, err := b.store.Content().ReaderAt(ctx, ocispec.Descriptor{Digest: l.Digest, Size: l.Size})
	if err != nil {
		return err
	}
	opts.Digest, opts.DiffID = l.Digest, l.DiffID
	return errors.Join(verify.Layer(ctx, content.NewReader(blob), opts), blob.Close())
}
