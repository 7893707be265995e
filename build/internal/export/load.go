package export

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/images/archive"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/lbuild/lbuild/snapshot"
)

// LoadArchive brings the images of a docker or OCI archive, plain or compressed, into store and returns them in the
// archive's order. A name is kept if it is a full reference: a mere tag does not say of what. The blobs get labels that
// keep what they refer to from garbage collection.
func LoadArchive(ctx context.Context, store content.Store, r io.Reader) ([]Image, error) {
	imgs, err := loadArchive(ctx, store, r)
	if err != nil {
		return nil, fmt.Errorf("load archive: %w", err)
	}
	return imgs, nil
}

func loadArchive(ctx context.Context, store content.Store, r io.Reader) (imgs []Image, err error) {
	plain, err := snapshot.Decompress(&cancelable{ctx: ctx, r: r})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, plain.Close()) }()
	target, err := archive.ImportIndex(ctx, beginnings{store}, plain)
	if err != nil {
		return nil, readable(err)
	}
	if err := checkSmall(ctx, store, target); err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	data, err := content.ReadBlob(ctx, store, target)
	if err != nil {
		return nil, err
	}
	var index ocispec.Index
	if err := json.Unmarshal(data, &index); err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	if imgs = group(index); len(imgs) == 0 {
		return nil, errors.New("there is no image in it")
	}
	for _, img := range imgs {
		if err := complete(ctx, store, img.Manifest); err != nil {
			return nil, err
		}
	}
	return imgs, nil
}

// beginnings is a store for containerd's importer, which reads configs whole, however large, and of layers what tells
// their compression.
type beginnings struct{ content.Store }

func (b beginnings) ReaderAt(ctx context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	ra, err := b.Store.ReaderAt(ctx, desc)
	if err != nil {
		return nil, err
	}
	return beginning{ra}, nil
}

type beginning struct{ content.ReaderAt }

// maxConfig is the most of a config that is read, in bytes.
const maxConfig = 8 << 20

func (b beginning) Size() int64 { return min(b.ReaderAt.Size(), maxConfig) }

// readable says what containerd's importer means by its shortest errors.
func readable(err error) error {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return fmt.Errorf("it is cut off, or no archive: %w", io.ErrUnexpectedEOF)
	case err.Error() == "unrecognized image format":
		return errors.New("it is neither a docker archive with a manifest.json nor an OCI archive")
	}
	return err
}

// group returns the images of an index, each with all its names.
func group(index ocispec.Index) []Image {
	var imgs []Image
	at := map[digest.Digest]int{}
	for _, entry := range index.Manifests {
		if !isManifest(entry) {
			continue
		}
		i, ok := at[entry.Digest]
		if !ok {
			i = len(imgs)
			at[entry.Digest] = i
			imgs = append(imgs, Image{Manifest: entries(Image{Manifest: entry})[0]})
		}
		if name := fullName(entry); name != "" {
			imgs[i].Names = append(imgs[i].Names, name)
		}
	}
	return imgs
}

// fullName returns the full reference that an entry of an index is annotated with, or nothing.
func fullName(entry ocispec.Descriptor) string {
	name := entry.Annotations[images.AnnotationImageName]
	if name == "" {
		name = entry.Annotations[ocispec.AnnotationRefName]
		if !strings.ContainsAny(name, "/:") {
			return ""
		}
	}
	named, err := reference.ParseDockerRef(name)
	if err != nil {
		return ""
	}
	return named.String()
}

// complete checks that all blobs of an image are in the store and labels them.
func complete(ctx context.Context, store content.Store, root ocispec.Descriptor) error {
	all, err := parts(ctx, store, root)
	if err != nil {
		return missing(err)
	}
	label := images.SetChildrenLabels(store, images.ChildrenHandler(store))
	for _, desc := range all {
		if _, err := store.Info(ctx, desc.Digest); err != nil {
			return missing(fmt.Errorf("blob %s: %w", desc.Digest, err))
		}
		if _, err := label(ctx, desc); err != nil {
			return fmt.Errorf("label %s: %w", desc.Digest, err)
		}
	}
	return nil
}

func missing(err error) error {
	if errdefs.IsNotFound(err) {
		return fmt.Errorf("it is incomplete or damaged: %w", err)
	}
	return err
}
