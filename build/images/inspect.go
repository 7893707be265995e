package images

import (
	"context"
	"fmt"
	"slices"

	"github.com/containerd/errdefs"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/lbuild/lbuild/build/internal/image"
)

// Detail is all that inspect shows of an image.
type Detail struct {
	Names    []string                  `json:"names"` // full references
	Manifest ocispec.Descriptor        `json:"manifest"`
	Config   ocispec.Descriptor        `json:"config"`
	Image    dockerspec.DockerOCIImage `json:"image"`
	Layers   []LayerDetail             `json:"layers"` // bottom to top
}

// LayerDetail is one layer of an image and where it lies.
type LayerDetail struct {
	CreatedBy string        `json:"created_by"`
	DiffID    digest.Digest `json:"diff_id"`
	Digest    digest.Digest `json:"digest"`
	MediaType string        `json:"media_type"`
	Size      int64         `json:"size"` // bytes as stored
	ChainID   digest.Digest `json:"chain_id"`
	Parent    digest.Digest `json:"parent,omitempty"`    // chain-id
	Directory string        `json:"directory,omitempty"` // that holds its files; "" when it is not unpacked
}

// Inspect describes an image.
func (m *Images) Inspect(ctx context.Context, ref string) (Detail, error) {
	ctx = m.store.Context(ctx)
	record, err := m.findOne(ctx, ref)
	if err != nil {
		return Detail{}, err
	}
	img, err := m.stored(ctx, record.Target)
	if err != nil {
		return Detail{}, fmt.Errorf("inspect %s: %w", ref, err)
	}
	detail := Detail{Manifest: img.Manifest, Config: img.Config, Image: img.Image}
	if detail.Names, err = m.namesOf(ctx, record.Target.Digest); err != nil {
		return Detail{}, err
	}
	detail.Layers, err = m.layerDetails(ctx, &img)
	return detail, err
}

// namesOf are the names that stand for a digest, in order.
func (m *Images) namesOf(ctx context.Context, target digest.Digest) ([]string, error) {
	records, err := m.store.Images().List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	names := []string{}
	for _, record := range records {
		if record.Target.Digest == target && !image.IsUntagged(record.Name) {
			names = append(names, record.Name)
		}
	}
	slices.Sort(names)
	return names, nil
}

func (m *Images) layerDetails(ctx context.Context, img *image.Image) ([]LayerDetail, error) {
	list := make([]LayerDetail, 0, len(img.Layers))
	made := slices.DeleteFunc(history(img), func(e HistoryEntry) bool { return e.EmptyLayer })
	var parent digest.Digest
	for i, layer := range img.Layers {
		chain := identity.ChainID(img.Image.RootFS.DiffIDs[:i+1])
		dir, err := m.layerDirectory(ctx, chain)
		if err != nil {
			return nil, fmt.Errorf("layer %s: %w", layer.Digest, err)
		}
		detail := LayerDetail{
			DiffID: img.Image.RootFS.DiffIDs[i], Digest: layer.Digest, MediaType: layer.MediaType, Size: layer.Size,
			ChainID: chain, Parent: parent, Directory: dir,
		}
		if i < len(made) {
			detail.CreatedBy = made[i].CreatedBy
		}
		list = append(list, detail)
		parent = chain
	}
	return list, nil
}

// layerDirectory is where the files of the top layer of a stack lie: a snapshot that was unpacked has the stack's
// chain-id as its name, one that a build made is found in the cache. "" when it is neither.
func (m *Images) layerDirectory(ctx context.Context, chain digest.Digest) (string, error) {
	top, ok, err := m.cache.Chain(ctx, chain)
	if err != nil {
		return "", err
	}
	if !ok {
		top.Result = chain.String()
	}
	dirs, err := m.store.Dirs(ctx, top.Result)
	if errdefs.IsNotFound(err) {
		err = nil
	}
	return dirs.Upper, err
}
