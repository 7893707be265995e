package build

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/containerd/errdefs"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// HistoryEntry is one line of an image's history.
type HistoryEntry struct {
	Image      digest.Digest `json:"image,omitempty"` // of the config; only in the newest entry, as docker has it
	Created    time.Time     `json:"created"`
	CreatedBy  string        `json:"created_by"`
	Comment    string        `json:"comment,omitempty"`
	Size       int64         `json:"size"` // bytes of the layer as stored; 0 for an empty one
	Digest     digest.Digest `json:"digest,omitempty"`
	DiffID     digest.Digest `json:"diff_id,omitempty"`
	EmptyLayer bool          `json:"empty_layer"`
}

// ImageDetail is all that inspect shows of an image.
type ImageDetail struct {
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

// History tells how an image was made, the newest entry first.
func (b *Builder) History(ctx context.Context, ref string) ([]HistoryEntry, error) {
	ctx = b.store.Context(ctx)
	record, err := b.findOne(ctx, ref)
	if err != nil {
		return nil, err
	}
	img, err := b.stored(ctx, record.Target)
	if err != nil {
		return nil, fmt.Errorf("history of %s: %w", ref, err)
	}
	entries := img.history()
	slices.Reverse(entries)
	if len(entries) > 0 {
		entries[0].Image = img.config.Digest
	}
	return entries, nil
}

// history puts the config's history and the layers side by side, oldest first. Layers that it does not mention, as in
// images whose history is missing, come last.
func (img *storedImage) history() []HistoryEntry {
	var entries []HistoryEntry
	next := 0 // layer
	take := func(e HistoryEntry) HistoryEntry {
		e.Digest, e.Size, e.DiffID = img.layers[next].Digest, img.layers[next].Size, img.image.RootFS.DiffIDs[next]
		next++
		return e
	}
	for _, h := range img.image.History {
		e := HistoryEntry{CreatedBy: h.CreatedBy, Comment: h.Comment, EmptyLayer: h.EmptyLayer}
		if h.Created != nil {
			e.Created = *h.Created
		}
		if !h.EmptyLayer && next < len(img.layers) {
			e = take(e)
		}
		entries = append(entries, e)
	}
	for next < len(img.layers) {
		entries = append(entries, take(HistoryEntry{}))
	}
	return entries
}

// Inspect describes an image.
func (b *Builder) Inspect(ctx context.Context, ref string) (ImageDetail, error) {
	ctx = b.store.Context(ctx)
	record, err := b.findOne(ctx, ref)
	if err != nil {
		return ImageDetail{}, err
	}
	img, err := b.stored(ctx, record.Target)
	if err != nil {
		return ImageDetail{}, fmt.Errorf("inspect %s: %w", ref, err)
	}
	detail := ImageDetail{Manifest: img.manifest, Config: img.config, Image: img.image}
	if detail.Names, err = b.namesOf(ctx, record.Target.Digest); err != nil {
		return ImageDetail{}, err
	}
	detail.Layers, err = b.layerDetails(ctx, &img)
	return detail, err
}

// namesOf are the names that stand for a digest, in order.
func (b *Builder) namesOf(ctx context.Context, target digest.Digest) ([]string, error) {
	records, err := b.store.Images().List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	names := []string{}
	for _, record := range records {
		if record.Target.Digest == target && !isUntagged(record.Name) {
			names = append(names, record.Name)
		}
	}
	slices.Sort(names)
	return names, nil
}

func (b *Builder) layerDetails(ctx context.Context, img *storedImage) ([]LayerDetail, error) {
	list := make([]LayerDetail, 0, len(img.layers))
	made := slices.DeleteFunc(img.history(), func(e HistoryEntry) bool { return e.EmptyLayer })
	var parent digest.Digest
	for i, layer := range img.layers {
		chain := identity.ChainID(img.image.RootFS.DiffIDs[:i+1])
		dir, err := b.layerDirectory(ctx, chain)
		if err != nil {
			return nil, fmt.Errorf("layer %s: %w", layer.Digest, err)
		}
		detail := LayerDetail{
			DiffID: img.image.RootFS.DiffIDs[i], Digest: layer.Digest, MediaType: layer.MediaType, Size: layer.Size,
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
func (b *Builder) layerDirectory(ctx context.Context, chain digest.Digest) (string, error) {
	name, ok, err := b.cache.Chain(ctx, chain)
	if err != nil {
		return "", err
	}
	if !ok {
		name = chain.String()
	}
	dirs, err := b.store.Dirs(ctx, name)
	if errdefs.IsNotFound(err) {
		err = nil
	}
	return dirs.Upper, err
}
