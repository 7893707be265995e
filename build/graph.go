package build

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/lbuild/lbuild/build/buildfile"
	"github.com/lbuild/lbuild/build/internal/base"
	"github.com/lbuild/lbuild/build/internal/plan"
	"github.com/lbuild/lbuild/build/internal/solve"
	"github.com/lbuild/lbuild/build/internal/source"
	"github.com/lbuild/lbuild/snapshot"
)

// parse reads the Buildfile.
func (s *session) parse() (err error) {
	if s.file, err = buildfile.Parse(s.req.Buildfile, s.req.BuildfileText); err != nil {
		return err
	}
	for _, w := range s.file.Warnings {
		s.warn(w.Line, w.Text)
	}
	return nil
}

// compile turns the Buildfile into a graph. The images that it needs are found side by side; triggers of theirs may need
// others, so it goes on until none is missing.
func (s *session) compile(ctx context.Context) error {
	opts := s.planOptions()
	for {
		graph, needs, err := plan.Compile(s.file, opts)
		if err != nil {
			return err
		}
		if graph != nil {
			s.graph = graph
			break
		}
		if err := s.find(ctx, needs, opts.Images); err != nil {
			return err
		}
	}
	for _, w := range s.graph.Warnings {
		s.warn(w.Line, w.Text)
	}
	return nil
}

func (s *session) planOptions() plan.Options {
	r := s.req
	opts := plan.Options{
		Target: r.Target, Args: r.args(), BuildPlatform: platforms.DefaultSpec(), Platforms: r.platforms(), Contexts: r.Contexts,
		NoCache: r.NoCache, NoCacheStages: r.NoCacheStages, Network: r.Network, ShmSize: r.ShmSize,
		Images: map[plan.ImageRef]plan.BaseImage{},
	}
	for _, h := range r.Hosts {
		opts.Hosts = append(opts.Hosts, plan.Host(h))
	}
	for _, l := range r.Ulimits {
		opts.Ulimits = append(opts.Ulimits, plan.Ulimit(l))
	}
	if r.Epoch != nil {
		seconds := r.Epoch.Unix()
		opts.Epoch = &seconds
	}
	return opts
}

// args are the build arguments. As with docker, SOURCE_DATE_EPOCH is one of them when the request has an epoch.
func (r Request) args() map[string]string {
	args := make(map[string]string, len(r.Args)+1)
	if r.Epoch != nil {
		args["SOURCE_DATE_EPOCH"] = fmt.Sprint(r.Epoch.Unix())
	}
	for k, v := range r.Args {
		args[k] = v
	}
	return args
}

// find finds images side by side.
func (s *session) find(ctx context.Context, needs []plan.Need, known map[plan.ImageRef]plan.BaseImage) error {
	group, ctx := errgroup.WithContext(ctx)
	found := make([]*base.Image, len(needs))
	for i, need := range needs {
		group.Go(func() (err error) {
			found[i], err = s.bases.Find(ctx, need.Name, need.Platform)
			return s.file.At(need.Location, need.Word, err)
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i, need := range needs {
		s.needs[need.ImageRef] = need
		known[need.ImageRef] = plan.BaseImage{Manifest: found[i].Manifest.Digest, Config: found[i].Config}
	}
	return nil
}

// image is one that compile has found.
func (s *session) image(ctx context.Context, ref plan.ImageRef) (*base.Image, error) {
	return s.bases.Find(ctx, ref.Name, ref.Platform)
}

// atImage gives an error about an image its place: where the Buildfile names it.
func (s *session) atImage(ref plan.ImageRef, err error) error {
	return s.file.At(s.needs[ref].Location, s.needs[ref].Word, err)
}

// solve runs the graph, with packing and pushing behind it, and returns when all three are done.
func (s *session) solve(ctx context.Context) (results []*solve.Result, err error) {
	s.group, ctx = errgroup.WithContext(ctx)
	b := &solveBuild{session: s, packed: s.packedNodes(), needsTree: s.filesNodes(), layerIsEnough: s.layerOnlyNodes()}
	s.group.Go(func() (err error) {
		results, err = s.solver(b).Solve(ctx, s.graph)
		return err
	})
	return results, s.group.Wait()
}

func (s *session) solver(b *solveBuild) *solve.Solver {
	return &solve.Solver{
		Store: s.store, Cache: s.cache, Slots: s.slots, Events: &s.events, Runtime: s.opts.Runtime, Scratch: s.lease.Dir(), Build: b,
	}
}

// solveBuild is what a session does for its solver.
type solveBuild struct {
	*session
	packed        map[*plan.Node]bool // those with layers of an image
	needsTree     map[*plan.Node]bool // those that are written as files
	layerIsEnough map[*plan.Node]bool
}

var _ solve.Build = (*solveBuild)(nil)

// LayerIsEnough is solve.Build's.
func (b *solveBuild) LayerIsEnough(n *plan.Node) bool { return b.layerIsEnough[n] }

// OpenDir is solve.Build's.
func (b *solveBuild) OpenDir(_ context.Context, src plan.Source) (*source.Tree, error) {
	return b.context.openDir(src)
}

// OpenTree is solve.Build's.
func (b *solveBuild) OpenTree(ctx context.Context, name string) (*source.Tree, error) {
	return b.context.openTree(ctx, name)
}

// Unpack is solve.Build's.
func (b *solveBuild) Unpack(ctx context.Context, ref plan.ImageRef) (string, error) {
	img, err := b.image(ctx, ref)
	if err != nil {
		return "", err
	}
	name, err := img.Unpack(ctx)
	return name, b.atImage(ref, err)
}

// Prove is solve.Build's.
func (b *solveBuild) Prove(ctx context.Context, ref plan.ImageRef) error {
	img, err := b.image(ctx, ref)
	if err != nil {
		return err
	}
	return b.atImage(ref, img.Prove(ctx))
}

// Apply is solve.Build's.
func (b *solveBuild) Apply(ctx context.Context, r *solve.Result, root string) (err error) {
	desc := ocispec.Descriptor{Digest: r.Blob}
	if err := b.store.VerifyBlob(ctx, desc); err != nil {
		return err
	}
	blob, err := b.store.Content().ReaderAt(ctx, desc)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, blob.Close()) }()
	plain, err := snapshot.Decompress(content.NewReader(blob))
	if err != nil {
		return err
	}
	return errors.Join(source.ApplyLayer(ctx, plain, root), plain.Close())
}

// Fail gives an error its place in the Buildfile, with the caret under the source that it is about.
func (b *solveBuild) Fail(n *plan.Node, err error) error {
	if len(n.Steps) == 0 {
		return err
	}
	word := ""
	if src, ok := errors.AsType[*source.Error](err); ok {
		word = src.Source
	}
	return b.file.At(n.Steps[0].Location, word, err)
}
