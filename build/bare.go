package build

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"

	"github.com/lbuild/lbuild/build/internal/cache"
	"github.com/lbuild/lbuild/build/internal/source"
	"github.com/lbuild/lbuild/snapshot"
)

// A bare tree is that of a step whose files nobody reads: they go from where they are copied from into the layer, and
// not into a workspace. What the workspace has is enough to know what changes. It is thrown away, and the step is
// recorded with its layer. A later build that reads the tree unpacks the layer over the parent, or makes the step again.
type bareTree struct {
	dirs    snapshot.Dirs
	placed  *source.Placed
	step    cache.Step // whole once it is kept
	started *time.Time // of the step; later by the time for which the layer waits to be packed

	// keep makes the blob of the layer whole and records it with the step, in one transaction.
	keep func(context.Context, *snapshot.BlobWriter, cache.Layer) error
}

// layerIsEnough tells whether nothing reads the tree of the step that runs: it is the last of the target that changes
// files, and every output wants its layer in one and the same compression.
func (st *stage) layerIsEnough() bool {
	s := st.s
	if st != s.stages[s.plan.Target] || s.req.Verify || len(s.compressions()) != 1 {
		return false
	}
	for _, out := range s.outputs() {
		if !out.isImage() {
			return false
		}
	}
	for _, cmd := range st.Commands[st.step:] {
		switch cmd.(type) {
		case *instructions.RunCommand, *instructions.CopyCommand, *instructions.AddCommand, *instructions.WorkdirCommand:
			return false
		}
	}
	return true
}

// put makes the change in a workspace. Where the layer is enough it is packed and recorded here and now, and the result
// is not nil: then the workspace has had its use. If that has to wait, the step has started so much later.
func (st *stage) put(ctx context.Context, c *change, ws *snapshot.Workspace, root string, started *time.Time) (*bareTree, error) {
	if c.place == nil {
		return nil, c.apply(ctx, root)
	}
	placed, err := c.place(ctx, root)
	if err != nil {
		return nil, err
	}
	if placed == nil {
		return nil, c.apply(ctx, root)
	}
	dirs, err := ws.Dirs(ctx)
	if err != nil {
		return nil, err
	}
	for _, w := range placed.Warnings() {
		st.s.warn(line(c.cmd), w.String())
	}
	bare := &bareTree{dirs: dirs, placed: placed, step: cache.Step{Snapshot: cache.BareName()}, started: started}
	bare.keep = func(ctx context.Context, blob *snapshot.BlobWriter, l cache.Layer) error {
		return st.keepBare(ctx, c, bare, blob, l)
	}
	made := madeStep{Step: bare.step, id: st.id(), line: line(c.cmd), history: len(st.image.History), bare: bare}
	st.s.events.PacksItself(made.id)
	l, err := st.s.pack(ctx, made, st.s.compressions()[0])
	if err == nil && l.Entries == 0 {
		return nil, nil // nothing changed, so nothing was left out either: the workspace is whole
	}
	return bare, err
}

// keepBare completes the step and records it with its layer alone. It keeps nothing of a step that changed nothing.
func (st *stage) keepBare(ctx context.Context, c *change, bare *bareTree, blob *snapshot.BlobWriter, l cache.Layer) error {
	if l.Entries == 0 {
		return nil
	}
	if err := c.know(ctx); err != nil {
		return err
	}
	step := &bare.step
	step.Created, step.Seconds = now(), time.Since(*bare.started).Seconds()
	step.Bare = &cache.Bare{Name: step.Snapshot, Variant: st.s.variant(st.s.compressions()[0]), Epoch: st.s.epoch()}
	return st.s.cache.CommitBare(ctx, blob, st.recorded(c), c.shape, *step, l, uncompressed(l.DiffID))
}

// epoch is the one of the request as text, "" for none.
func (s *session) epoch() string {
	if s.req.Epoch == nil {
		return ""
	}
	return strconv.FormatInt(s.req.Epoch.Unix(), 10)
}

// dirs are the directories that the layer of a step is packed from.
func (s *session) dirs(ctx context.Context, made madeStep) (snapshot.Dirs, error) {
	if made.bare != nil {
		return made.bare.dirs, nil
	}
	return s.store.Dirs(ctx, made.Snapshot)
}

// dress makes a recorded step fit for this build: as it is where its layer is enough, else with a snapshot that the layer
// is unpacked into. That has times in whole seconds, as every tree from a layer. ok is false where the times were clamped:
// a RUN would see other ones than after the step itself, and so would whoever takes the files.
func (st *stage) dress(ctx context.Context, c *change, step cache.Step) (_ cache.Step, ok bool, err error) {
	l, ok, err := st.s.cache.Layer(ctx, step.Snapshot, step.Bare.Variant)
	if err != nil || !ok {
		return step, false, err
	}
	if c.place != nil && step.Bare.Variant == st.s.variant(st.s.compressions()[0]) {
		// From here on the record of the layer is not needed: a prune may take it, and leaves the blob to this build.
		l.Seconds = 0
		_, err := st.s.packs.do(packKey(step.Snapshot, step.Bare.Variant), func() (cache.Layer, error) { return l, nil })
		return step, true, err
	}
	if step.Bare.Epoch != "" {
		return step, false, nil
	}
	step, err = st.s.flight.do(cache.NewKey("unpack", string(st.recorded(c))), func() (cache.Step, error) {
		return st.unpackBare(ctx, c, step, l)
	})
	if err != nil {
		err = fmt.Errorf("unpack the layer of a cached step: %w", err)
	}
	return step, err == nil, err
}

// unpackBare makes the snapshot of a step from its layer, and records it in the place of the layer alone.
func (st *stage) unpackBare(ctx context.Context, c *change, step cache.Step, l cache.Layer) (cache.Step, error) {
	ws, err := st.s.store.Prepare(ctx, st.snapshot)
	if err != nil {
		return step, err
	}
	defer func() { _ = ws.Discard() }() // after Commit there is nothing to discard; after an error that one counts
	root, err := ws.Mount(ctx)
	if err != nil {
		return step, err
	}
	if err := st.s.applyLayer(ctx, l, root); err != nil {
		return step, err
	}
	variant := step.Bare.Variant
	step.Bare = nil
	step, err = st.s.cache.Freeze(ctx, ws, st.recorded(c), c.shape, step)
	if err != nil {
		return step, err
	}
	return step, st.s.cache.PutLayer(ctx, step.Snapshot, variant, l)
}

// applyLayer unpacks a layer of the store over a mounted tree.
func (s *session) applyLayer(ctx context.Context, l cache.Layer, root string) (err error) {
	blob, err := s.store.Content().ReaderAt(ctx, l.Descriptor())
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
