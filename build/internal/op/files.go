package op

import (
	"context"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/lbuild/lbuild/build/internal/plan"
	"github.com/lbuild/lbuild/build/internal/source"
)

// Files are what a COPY or ADD reads. They are selected once, when they are first needed. It is used by one goroutine.
type Files struct {
	op     *plan.Copy
	chosen func(context.Context) (*source.Selection, error)
}

// Open gives the files that c reads from the tree that open opens. Open is called once at most, and not where c has
// here-documents alone; whoever gives the tree closes it, after the last use of the files.
func Open(c *plan.Copy, open func(context.Context) (*source.Tree, error)) *Files {
	f := &Files{op: c}
	var once sync.Once
	var sel *source.Selection
	var err error
	f.chosen = func(ctx context.Context) (*source.Selection, error) {
		once.Do(func() { sel, err = choose(ctx, c, open) })
		return sel, err
	}
	return f
}

// choose finds what is named: paths of a tree, and here-documents behind them.
func choose(ctx context.Context, c *plan.Copy, open func(context.Context) (*source.Tree, error)) (*source.Selection, error) {
	var documents []source.File
	for _, f := range c.Documents {
		documents = append(documents, source.File{Name: f.Path, Data: []byte(f.Data)})
	}
	inline := source.Inline(documents)
	if len(c.Sources) == 0 {
		return inline, nil
	}
	tree, err := open(ctx)
	if err != nil {
		return nil, err
	}
	sel, err := tree.Select(ctx, c.Sources)
	if err != nil {
		return nil, err
	}
	sel.Append(inline)
	return sel, nil
}

// Digest is that of the files' content. What was read for a layer before is not read again.
func (f *Files) Digest(ctx context.Context) (digest.Digest, error) {
	sel, err := f.chosen(ctx)
	if err != nil {
		return "", err
	}
	return sel.Digest(ctx)
}

// Copy puts the files into a mounted root.
func (f *Files) Copy(ctx context.Context, root string) error {
	opts, err := f.options(root)
	if err != nil {
		return err
	}
	sel, err := f.chosen(ctx)
	if err != nil {
		return err
	}
	return source.Copy(ctx, root, sel, f.op.Dest, opts)
}

// CanPlace tells whether Place can take the files.
func (f *Files) CanPlace(ctx context.Context) (bool, error) {
	sel, err := f.chosen(ctx)
	return err == nil && sel.CanPlace(source.CopyOptions{Unpack: f.op.Unpack}), err
}

// Place is Copy where the layer is enough: content stays where it is until the layer is packed from there.
func (f *Files) Place(ctx context.Context, root string) (*source.Placed, error) {
	opts, err := f.options(root)
	if err != nil {
		return nil, err
	}
	sel, err := f.chosen(ctx)
	if err != nil {
		return nil, err
	}
	return source.Place(ctx, root, sel, f.op.Dest, opts)
}

// options are how the files go into a root. Names of owners are those of the root.
func (f *Files) options(root string) (source.CopyOptions, error) {
	opts := source.CopyOptions{Mode: f.op.Mode, Unpack: f.op.Unpack, Exact: f.op.Context}
	if f.op.Epoch != nil {
		epoch := time.Unix(*f.op.Epoch, 0)
		opts.Epoch = &epoch
	}
	if f.op.Owner == "" {
		return opts, nil
	}
	owner, err := source.LookupOwner(root, f.op.Owner)
	opts.Owner = &owner
	return opts, err
}
