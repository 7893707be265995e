package build

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/lbuild/lbuild/build/internal/cache"
	"github.com/lbuild/lbuild/build/internal/plan"
	"github.com/lbuild/lbuild/build/internal/source"
)

// from sets the stage up as its base left off.
func (st *stage) from(ctx context.Context) error {
	if st.Base.Kind == plan.OnStage {
		st.inherit(st.s.stages[st.Base.Stage])
		return nil
	}
	img, err := st.s.base(ctx, st.Stage)
	switch {
	case err != nil:
	case img != nil:
		err = st.fromImage(ctx, img)
	case st.Base.Kind == plan.Context:
		err = st.fromTree(ctx, st.s.req.Contexts[st.Base.Name])
	default:
		st.image, st.key = emptyImage(st.Platform), cache.NewKey("scratch")
	}
	if err != nil {
		return err
	}
	if !hasVar(st.image.Config.Env, "PATH") {
		st.image.Config.Env = setVar(st.image.Config.Env, "PATH", defaultPath)
	}
	st.vars = st.image.Config.Env
	return nil
}

// inherit starts from another stage: its tree, config, history and what it declared.
func (st *stage) inherit(parent *stage) {
	st.image = cloneImage(parent.image)
	st.vars, st.args = parent.vars, parent.args
	for _, kv := range st.image.Config.Env {
		key, value, _ := strings.Cut(kv, "=")
		st.vars = setVar(st.vars, key, value) // an ARG that hid an ENV ends with its stage
	}
	st.key, st.snapshot, st.base, st.created = parent.key, parent.snapshot, parent.base, parent.created
	st.made = slices.Clone(parent.made)
	st.image.Config.OnBuild = nil // the plan has put them into this stage
}

// fromImage starts a stage from an image.
func (st *stage) fromImage(ctx context.Context, img *baseImage) error {
	name, err := st.s.unpacked(ctx, img)
	if err != nil {
		return err
	}
	st.base, st.snapshot = img, name
	st.key = cache.NewKey("image", string(img.manifest.Digest))
	st.image = cloneImage(img.config)
	st.image.Config.OnBuild = nil // the plan has put them into this stage
	st.created = img.config.Created
	st.image.RootFS.Type = "layers"
	completeHistory(&st.image)
	if st.packed {
		st.s.baseSoon(ctx, img)
	}
	if have := st.image.Platform; !platforms.Only(st.Platform).Match(have) {
		st.s.warn(st.Location[0].Start.Line, fmt.Sprintf("%s is an image for %s, not for %s", st.Base.Name, platforms.Format(have), platforms.Format(st.Platform)))
	}
	return nil
}

// completeHistory makes the history speak of as many layers as the image has: consumers pair them up one by one, and
// some tools write images with less history than layers.
func completeHistory(img *dockerspec.DockerOCIImage) {
	n := 0
	for i := range img.History {
		if !img.History[i].EmptyLayer {
			n++
			img.History[i].EmptyLayer = n > len(img.RootFS.DiffIDs)
		}
	}
	for ; n < len(img.RootFS.DiffIDs); n++ {
		img.History = append(img.History, ocispec.History{Comment: "layer of the base, which has no history of it"})
	}
}

// fromTree starts a stage from the files of a directory, as a first step that copies them.
func (st *stage) fromTree(ctx context.Context, dir string) error {
	st.image, st.key = emptyImage(st.Platform), cache.NewKey("scratch")
	tree, err := st.s.tree(dir, "")
	if err != nil {
		return err
	}
	sel, err := tree.Select(ctx, []string{"."})
	if err != nil {
		return err
	}
	content, err := sel.Digest(ctx)
	if err != nil {
		return err
	}
	return st.change(ctx, change{
		cmd: nil, name: "FROM " + st.Base.Name, createdBy: "FROM " + st.Base.Name,
		key: cache.NewKey("tree", string(content)),
		apply: func(ctx context.Context, root string) error {
			return source.Copy(ctx, root, sel, "/", source.CopyOptions{})
		},
	})
}

// origin is what a COPY or ADD reads.
type origin struct {
	snapshot string // "": a directory of the user's, or an empty tree
	open     func(context.Context) (*source.Tree, error)
}

// origin finds what a COPY reads: the context, or what --from names. ADD has no cmd and reads the context.
func (st *stage) origin(ctx context.Context, cmd *instructions.CopyCommand) (origin, error) {
	s := st.s
	if cmd == nil || cmd.From == "" {
		return origin{open: func(context.Context) (*source.Tree, error) { return s.contextTree() }}, nil
	}
	from := st.Sources[cmd]
	switch {
	case from.Kind == plan.Scratch:
		return s.snapshotOrigin(""), nil
	case from.Kind == plan.OnStage:
		return s.snapshotOrigin(s.stages[from.Stage].snapshot), nil
	}
	ref, ok := s.imageRef(from)
	if !ok {
		return origin{open: func(context.Context) (*source.Tree, error) { return s.tree(s.req.Contexts[from.Name], "") }}, nil
	}
	img, err := s.image(ctx, ref, s.platform)
	if err != nil {
		return origin{}, err
	}
	name, err := s.unpacked(ctx, img)
	return s.snapshotOrigin(name), err
}

func (s *session) snapshotOrigin(name string) origin {
	return origin{snapshot: name, open: func(ctx context.Context) (*source.Tree, error) { return s.snapshotTree(ctx, name) }}
}

// snapshotTree mounts a snapshot read-only until the build ends.
func (s *session) snapshotTree(ctx context.Context, name string) (*source.Tree, error) {
	return s.trees.do("snapshot://"+name, func() (*source.Tree, error) {
		view, err := s.store.View(ctx, name)
		if err != nil {
			return nil, err
		}
		s.onClose(view.Close)
		tree, err := source.Open(view.Dir(), source.Options{})
		if err != nil {
			return nil, err
		}
		s.onClose(tree.Close)
		return tree, nil
	})
}
