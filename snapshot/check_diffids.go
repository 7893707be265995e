package snapshot

import (
	"context"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/pkg/labels"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// CheckDiffIDs fails unless every layer of a manifest has the diff-id that the config tells. All of it is in the store;
// each blob is read once at most, because what it holds is remembered.
func (s *Store) CheckDiffIDs(ctx context.Context, manifest ocispec.Descriptor) error {
	ctx = s.Context(ctx)
	image, err := (&pull{store: s}).read(ctx, manifest)
	if err != nil {
		return err
	}
	return s.checkDiffIDs(ctx, image)
}

// checkDiffIDs fails unless every layer has the diff-id that the config tells. The unpacker
// compares only what it unpacks, and not a blob that claims to be a layer whose snapshot is there. The error is a
// *layerError.
func (s *Store) checkDiffIDs(ctx context.Context, image image) error {
	for i, layer := range image.layers {
		got, err := s.diffID(ctx, layer)
		if err == nil {
			err = compareDiffIDs(got, image.diffIDs[i])
		}
		if err != nil {
			return &layerError{layer.Digest, err}
		}
	}
	return nil
}

func compareDiffIDs(got, want digest.Digest) error {
	if got != want {
		return fmt.Errorf("its tar has the diff-id %s, not %s as the config says", got, want)
	}
	return nil
}

// diffID is a blob's, which is remembered: its bytes never change.
func (s *Store) diffID(ctx context.Context, layer ocispec.Descriptor) (digest.Digest, error) {
	info, err := s.blobs.Info(ctx, layer.Digest)
	if err != nil {
		return "", err
	}
	if known := info.Labels[labels.LabelUncompressed]; known != "" {
		return digest.Digest(known), nil
	}
	d, err := s.hashPlain(ctx, layer)
	if err != nil {
		return "", err
	}
	return d, s.addLabels(ctx, layer.Digest, map[string]string{labels.LabelUncompressed: d.String()})
}

// hashPlain reads a layer in any compression.
func (s *Store) hashPlain(ctx context.Context, layer ocispec.Descriptor) (_ digest.Digest, err error) {
	blob, err := s.blobs.ReaderAt(ctx, layer)
	if err != nil {
		return "", err
	}
	defer closeInto(&err, blob)
	plain, err := Decompress(content.NewReader(blob))
	if err != nil {
		return "", err
	}
	defer closeInto(&err, plain)
	d := digest.Canonical.Digester()
	_, err = io.Copy(d.Hash(), &ctxReader{ctx, plain})
	return d.Digest(), err
}
