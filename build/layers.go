package build

import (
	"context"

	"github.com/containerd/containerd/v2/core/images"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/lbuild/lbuild/build/internal/base"
	"github.com/lbuild/lbuild/build/internal/pack"
	"github.com/lbuild/lbuild/build/internal/plan"
	"github.com/lbuild/lbuild/build/internal/solve"
	"github.com/lbuild/lbuild/diff/compress"
	"github.com/lbuild/lbuild/snapshot"
)

// packedNodes are the nodes whose layers are part of an image, if any image is made. Only these are packed.
func (s *session) packedNodes() map[*plan.Node]bool {
	nodes := map[*plan.Node]bool{}
	if !s.wantsImage() {
		return nodes
	}
	for _, img := range s.graph.Images {
		for n := img.Top; n != nil; n = n.Below {
			nodes[n] = true
		}
	}
	return nodes
}

// filesNodes are the nodes whose trees an output writes as files.
func (s *session) filesNodes() map[*plan.Node]bool {
	nodes := map[*plan.Node]bool{}
	for _, out := range s.outputs() {
		for _, img := range s.graph.Images {
			if !out.isImage() {
				nodes[img.Top] = true
			}
		}
	}
	return nodes
}

// layerOnlyNodes are the nodes whose trees nobody needs: nothing stands on them or reads them, and every output wants their
// layer in one and the same compression.
func (s *session) layerOnlyNodes() map[*plan.Node]bool {
	nodes := map[*plan.Node]bool{}
	if s.req.Verify || len(s.compressions()) != 1 {
		return nodes
	}
	for _, out := range s.outputs() {
		if !out.isImage() {
			return nodes
		}
	}
	for n := range s.packedNodes() {
		nodes[n] = true
	}
	for _, n := range s.graph.Nodes {
		delete(nodes, n.Below)
		for _, src := range n.Reads {
			delete(nodes, src.Node)
		}
	}
	return nodes
}

// Made is solve.Build's: it starts to pack a result in all compressions that the outputs need, and to push what is whole,
// while later steps run.
func (b *solveBuild) Made(ctx context.Context, n *plan.Node, r *solve.Result) {
	if b.needsTree[n] {
		b.group.Go(func() error {
			_, err := r.Tree(ctx)
			return err
		})
	}
	if !b.packed[n] {
		return
	}
	if op, ok := n.Op.(*plan.Base); ok {
		b.group.Go(func() error { return b.atImage(op.Image, b.baseSoon(ctx, op.Image)) })
		return
	}
	for _, c := range b.compressions() {
		b.group.Go(func() error {
			l, err := b.layer(ctx, r, c)
			if err == nil && l.Entries > 0 {
				b.pushSoon(ctx, c, l.Descriptor())
			}
			return err
		})
	}
}

// layer gives the layer of a step's result. One that has only a layer is unpacked where that is in another compression, or
// where a prune beside this build has taken away what was known of it.
func (s *session) layer(ctx context.Context, r *solve.Result, c compress.Compression) (pack.Layer, error) {
	src := layerSource(r.Node, r.ID)
	src.HasTree = r.HasTree()
	src.MakeTree = func(ctx context.Context) error {
		_, err := r.Tree(ctx)
		return err
	}
	return s.packing.Layer(ctx, src, c)
}

// layerSource is what a result's layer is packed from. Layers of lower nodes go first.
func layerSource(n *plan.Node, id string) pack.Source {
	return pack.Source{ID: id, Step: n.Steps[0].ID, Line: n.Line(), Rank: n.ID}
}

// Pack is solve.Build's: it packs a COPY from where its files are.
func (b *solveBuild) Pack(ctx context.Context, n *plan.Node, p solve.Placed) (empty bool, err error) {
	c := b.compressions()[0]
	keep := func(ctx context.Context, l pack.Layer) ([]snapshot.Change, error) {
		return p.Keep(ctx, solve.Layer{Blob: l.Digest, Encoding: b.packing.Encoding(c), Record: b.packing.Key(p.ID, c), Waited: l.Waited})
	}
	l, err := b.packing.Place(ctx, layerSource(n, p.ID), c, pack.Placed{Dirs: p.Dirs, Changes: p.Changes, Notes: p.Notes, Keep: keep})
	return l.Entries == 0, err
}

// baseSoon brings in the layers of a base, where an output needs them here, and starts to pack them anew and to push them,
// before the first step runs. A registry that has them gets them from itself.
func (s *session) baseSoon(ctx context.Context, ref plan.ImageRef) error {
	img, err := s.image(ctx, ref)
	if err == nil && s.needsBlobs() {
		err = img.Fetch(ctx)
	}
	if err != nil {
		return err
	}
	for _, c := range s.compressions() {
		for i := range img.Layers {
			s.group.Go(func() error {
				l, err := s.baseLayer(ctx, img, i, c)
				if err == nil {
					s.pushSoon(ctx, c, ocispec.Descriptor{MediaType: l.MediaType, Digest: l.Digest, Size: l.Size})
				}
				return err
			})
		}
	}
	return nil
}

// needsBlobs tells whether an output needs the blobs of bases here: all do but a registry, which may have them.
func (s *session) needsBlobs() bool {
	for _, out := range s.outputs() {
		if out.isImage() && out.Type != OutputRegistry {
			return true
		}
	}
	return false
}

// forced tells whether an output wants the base's layers in compression c too.
func (s *session) forced(c compress.Compression) bool {
	for _, out := range s.outputs() {
		if out.ForceCompression && out.isImage() && s.compression(out) == c {
			return true
		}
	}
	return false
}

// baseLayer is a layer of a base as it is, or in compression c where an output forces that.
func (s *session) baseLayer(ctx context.Context, img *base.Image, i int, c compress.Compression) (Layer, error) {
	desc := img.Layers[i]
	l := Layer{DiffID: img.Config.RootFS.DiffIDs[i], Digest: desc.Digest, MediaType: ociLayerType(desc.MediaType), Size: desc.Size, Base: true, Cached: true}
	if !s.forced(c) {
		return l, nil
	}
	if err := img.Layer(ctx, desc); err != nil {
		return l, err
	}
	packed, err := s.packing.Repack(ctx, pack.BaseLayer{Blob: desc, DiffID: l.DiffID, N: i + 1, Of: len(img.Layers)}, c)
	if err != nil {
		return l, err
	}
	l.Digest, l.MediaType, l.Size, l.UncompressedSize = packed.Digest, packed.MediaType, packed.Size, packed.UncompressedSize
	l.PackSeconds, l.ReusedBytes = packed.Seconds, packed.ReusedBytes
	return l, nil
}

// ociLayerType names a layer's media type in OCI's terms; the bytes are the same.
func ociLayerType(mediaType string) string {
	switch mediaType {
	case images.MediaTypeDockerSchema2Layer:
		return ocispec.MediaTypeImageLayer
	case images.MediaTypeDockerSchema2LayerGzip:
		return ocispec.MediaTypeImageLayerGzip
	case images.MediaTypeDockerSchema2LayerZstd:
		return ocispec.MediaTypeImageLayerZstd
	}
	return mediaType
}

// compressions are those that the outputs need, each once, the request's own first.
func (r Request) compressions() []compress.Compression {
	var list []compress.Compression
	seen := map[compress.Compression]bool{}
	for _, out := range r.outputs() {
		if c := r.compression(out); out.isImage() && !seen[c] {
			seen[c] = true
			list = append(list, c)
		}
	}
	return list
}

// compression is what an output wants its layers in.
func (r Request) compression(out Output) compress.Compression {
	if out.Compression != nil {
		return *out.Compression
	}
	return r.Compression
}

// CheckMemory refuses an Options.Memory, in bytes, in which no layer of this request could be packed.
func (r Request) CheckMemory(memory int64) error {
	if memory == 0 {
		memory = DefaultMemory
	}
	for _, c := range r.compressions() {
		if err := pack.CheckMemory(memory, c); err != nil {
			return err
		}
	}
	return nil
}
