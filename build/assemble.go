package build

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/lbuild/lbuild/build/internal/base"
	"github.com/lbuild/lbuild/build/internal/cache"
	"github.com/lbuild/lbuild/build/internal/image"
	"github.com/lbuild/lbuild/build/internal/pack"
	"github.com/lbuild/lbuild/build/internal/plan"
	"github.com/lbuild/lbuild/build/internal/solve"
	"github.com/lbuild/lbuild/diff/compress"
)

// built is what a build made in one compression: an image, or an index of several. What describes it is in the store.
type built struct {
	target ocispec.Descriptor // the manifest, or the index
	images []builtImage       // one for each platform
}

// builtImage is an image for one platform.
type builtImage struct {
	platform ocispec.Platform
	manifest ocispec.Descriptor
	config   ocispec.Descriptor
	layers   []Layer
}

// assemble writes configs and manifests, once for each compression that the outputs need, and indexes of them where there
// are several platforms.
func (s *session) assemble(ctx context.Context, results []*solve.Result) (map[compress.Compression]built, error) {
	list := map[compress.Compression]built{}
	for _, c := range s.compressions() {
		b, err := s.assembleIn(ctx, results, c)
		if err != nil {
			return nil, fmt.Errorf("assemble the image: %w", err)
		}
		list[c] = b
	}
	return list, nil
}

func (s *session) assembleIn(ctx context.Context, results []*solve.Result, c compress.Compression) (b built, err error) {
	var manifests []ocispec.Descriptor
	for i := range s.graph.Images {
		img, err := s.assembleImage(ctx, &s.graph.Images[i], results, c)
		if err != nil {
			return b, err
		}
		b.images, manifests = append(b.images, img), append(manifests, img.manifest)
	}
	b.target = manifests[0]
	if len(manifests) > 1 {
		b.target, err = image.WriteIndex(ctx, s.store, manifests)
	}
	return b, err
}

// assembler puts one image together.
type assembler struct {
	*session
	image   *plan.Image
	results []*solve.Result // by node
	to      compress.Compression
	layers  []Layer
	history []ocispec.History
	chains  map[digest.Digest]cache.Top // by the stack of layers
}

func (s *session) assembleImage(ctx context.Context, img *plan.Image, results []*solve.Result, c compress.Compression) (builtImage, error) {
	a := &assembler{session: s, image: img, results: results, to: c, chains: map[digest.Digest]cache.Top{}}
	from, err := a.baseLayers(ctx)
	if err != nil {
		return builtImage{}, err
	}
	for _, e := range img.History {
		if err := a.entry(ctx, e); err != nil {
			return builtImage{}, err
		}
	}
	if err := s.cache.KeepChains(ctx, a.chains); err != nil {
		return builtImage{}, err
	}
	if len(a.layers) == 0 {
		if err := a.emptyLayer(ctx); err != nil {
			return builtImage{}, err
		}
	}
	return a.write(ctx, from)
}

// baseLayers begins with the layers of the image that this one is built on, which may be nil.
func (a *assembler) baseLayers(ctx context.Context) (*base.Image, error) {
	if a.image.BaseNode == nil {
		return nil, nil
	}
	img, err := a.session.image(ctx, a.image.Base)
	if err != nil {
		return nil, err
	}
	if a.needsBlobs() { // where they only go from registry to registry, the config's word is all that there is
		if err := img.Prove(ctx); err != nil {
			return nil, a.atImage(a.image.Base, err)
		}
	}
	made := slices.DeleteFunc(slices.Clone(img.Config.History), func(h ocispec.History) bool { return h.EmptyLayer })
	for i := range img.Layers {
		l, err := a.baseLayer(ctx, img, i, a.to)
		if err != nil {
			return nil, err
		}
		if len(made) == len(img.Layers) {
			l.CreatedBy = made[i].CreatedBy
		}
		a.layers = append(a.layers, l)
	}
	return img, nil
}

// entry adds an entry of the history, and the layer that belongs to it.
func (a *assembler) entry(ctx context.Context, e plan.Entry) error {
	if e.Base != nil {
		a.history = append(a.history, *e.Base)
		return nil
	}
	h := ocispec.History{CreatedBy: e.CreatedBy, Comment: plan.Comment, EmptyLayer: true, Created: e.Created}
	if e.Node != nil && e.Node != a.image.BaseNode {
		h.Created = &a.results[e.Node.ID].Created
	}
	if e.Layer {
		packed, err := a.layer(ctx, a.results[e.Node.ID], a.to)
		if err != nil {
			return err
		}
		if h.EmptyLayer = packed.Entries == 0; !h.EmptyLayer {
			a.add(e, packed)
		}
	}
	a.history = append(a.history, h)
	return nil
}

// add puts a layer on top.
func (a *assembler) add(e plan.Entry, packed pack.Layer) {
	r := a.results[e.Node.ID]
	a.layers = append(a.layers, Layer{
		Line: e.Line, CreatedBy: e.CreatedBy, DiffID: packed.DiffID, Digest: packed.Digest, MediaType: packed.MediaType,
		Size: packed.Size, UncompressedSize: packed.UncompressedSize, Cached: r.Cached, Seconds: r.Seconds, PackSeconds: packed.Seconds,
		Unchanged: packed.Unchanged, UnchangedBytes: packed.UnchangedBytes, ReusedBytes: packed.ReusedBytes,
	})
	if r.HasTree() {
		a.chains[identity.ChainID(diffIDs(a.layers))] = cache.Top{Result: r.ID, Clamped: a.req.Epoch != nil}
	}
}

// emptyLayer adds a layer without entries, because image-spec wants one.
func (a *assembler) emptyLayer(ctx context.Context) error {
	l, err := a.session.packing.Empty(ctx, a.to)
	if err != nil {
		return err
	}
	const createdBy = "empty layer"
	a.layers = append(a.layers, Layer{
		CreatedBy: createdBy, DiffID: l.DiffID, Digest: l.Digest, MediaType: l.MediaType, Size: l.Size, UncompressedSize: l.UncompressedSize,
	})
	a.history = append(a.history, ocispec.History{CreatedBy: createdBy, Comment: plan.Comment})
	return nil
}

// write stores config and manifest.
func (a *assembler) write(ctx context.Context, from *base.Image) (builtImage, error) {
	parts := image.Parts{
		Config: a.image.Config, DiffIDs: diffIDs(a.layers), Labels: a.req.Labels, Annotations: from.Annotations(), Epoch: a.req.Epoch,
	}
	parts.Config.History = a.history
	parts.Config.Config.Labels = maps.Clone(parts.Config.Config.Labels)
	if len(a.req.Platforms) > 0 {
		parts.Platform = &a.image.Platform
	}
	for _, l := range a.layers {
		parts.Layers = append(parts.Layers, ocispec.Descriptor{MediaType: l.MediaType, Digest: l.Digest, Size: l.Size})
	}
	manifest, config, err := image.Write(ctx, a.store, parts)
	return builtImage{platform: a.image.Platform, manifest: manifest, config: config, layers: a.layers}, err
}

func diffIDs(layers []Layer) []digest.Digest {
	var list []digest.Digest
	for _, l := range layers {
		list = append(list, l.DiffID)
	}
	return list
}
