package build

import (
	"context"
	"fmt"
	"path"
	"strings"
	"sync"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/opencontainers/go-digest"

	"github.com/lbuild/lbuild/build/internal/cache"
	"github.com/lbuild/lbuild/build/internal/source"
)

// transfer is a COPY or ADD.
type transfer struct {
	cmd          instructions.Command
	verb         string                    // COPY or ADD
	copy         *instructions.CopyCommand // nil for ADD
	paths        instructions.SourcesAndDest
	chown, chmod string
	unpack       bool
}

func (st *stage) copy(ctx context.Context, cmd, written *instructions.CopyCommand) error {
	return st.transfer(ctx, transfer{
		cmd: cmd, verb: "COPY", copy: written, paths: cmd.SourcesAndDest, chown: cmd.Chown, chmod: cmd.Chmod,
	})
}

func (st *stage) add(ctx context.Context, cmd *instructions.AddCommand) error {
	return st.transfer(ctx, transfer{
		cmd: cmd, verb: "ADD", paths: cmd.SourcesAndDest, chown: cmd.Chown, chmod: cmd.Chmod, unpack: true,
	})
}

// transfer copies files into the stage's tree. Its key holds what is copied, not where that lies.
func (st *stage) transfer(ctx context.Context, t transfer) error {
	if err := source.CheckMode(t.chmod); err != nil {
		return err
	}
	from, err := st.origin(ctx, t.copy)
	if err != nil {
		return err
	}
	selection := sync.OnceValues(func() (*source.Selection, error) { return st.selectFiles(ctx, t, from) })
	dest := st.absolute(t.paths.DestPath)
	key := func(ctx context.Context) (cache.Key, error) {
		content, err := st.content(ctx, t, from, selection)
		return cache.NewKey(t.verb, string(st.key), string(content), dest, t.chown, t.chmod), err
	}
	c := change{
		cmd:       t.cmd,
		name:      title(t.cmd),
		createdBy: t.createdBy(),
		shape:     t.shape(st, dest),
		apply: func(ctx context.Context, root string) error {
			sel, opts, err := t.options(root, selection)
			if err != nil {
				return err
			}
			return source.Copy(ctx, root, sel, dest, opts)
		},
	}
	if st.layerIsEnough() {
		c.place = func(ctx context.Context, root string) (*source.Placed, error) {
			sel, opts, err := t.options(root, selection)
			if err != nil || !sel.CanPlace(opts) {
				return nil, err
			}
			return source.Place(ctx, root, sel, dest, opts)
		}
	}
	if c.seal, err = st.sealed(ctx, t, c, selection, key); err != nil {
		return err
	}
	if c.seal == nil {
		if c.key, err = key(ctx); err != nil {
			return err
		}
	}
	return st.change(ctx, c)
}

// shape names what the instruction says and what it stands on: all of its key but what the files hold.
func (t transfer) shape(st *stage, dest string) cache.Key {
	return cache.NewKey(t.verb, string(st.key), st.snapshot, dest, t.chown, t.chmod, cache.List(t.paths.SourcePaths), cache.List(t.documents()))
}

// sealed gives what finds the key after the step, where the files are read for the layer and the record of the step cannot
// exist: then their digest needs no pass of its own. Else it gives nil.
func (st *stage) sealed(ctx context.Context, t transfer, c change, selection func() (*source.Selection, error), key func(context.Context) (cache.Key, error)) (func(context.Context) (cache.Key, error), error) {
	if c.place == nil {
		return nil, nil
	}
	seen, err := st.s.cache.Seen(ctx, c.shape)
	if err != nil || seen && !st.s.noCache(st.Name) {
		return nil, err
	}
	sel, err := selection()
	if err != nil || !sel.CanPlace(source.CopyOptions{Unpack: t.unpack}) {
		return nil, err
	}
	return key, nil
}

// options are how the selection goes into the mounted tree at root.
func (t transfer) options(root string, selection func() (*source.Selection, error)) (*source.Selection, source.CopyOptions, error) {
	opts := source.CopyOptions{Mode: t.chmod, Unpack: t.unpack}
	if t.chown != "" {
		owner, err := source.LookupOwner(root, t.chown)
		if err != nil {
			return nil, opts, err
		}
		opts.Owner = &owner
	}
	sel, err := selection()
	return sel, opts, err
}

// content is the digest of what is copied. A snapshot never changes, so for its files it is remembered, and a step
// that is known needs no look at them.
func (st *stage) content(ctx context.Context, t transfer, from origin, selection func() (*source.Selection, error)) (digest.Digest, error) {
	what := cache.NewKey(append(t.documents(), t.paths.SourcePaths...)...)
	if from.snapshot != "" {
		if d, ok, err := st.s.cache.Content(ctx, from.snapshot, what); err != nil || ok {
			return d, err
		}
	}
	sel, err := selection()
	if err != nil {
		return "", err
	}
	d, err := sel.Digest(ctx)
	if err != nil || from.snapshot == "" {
		return d, err
	}
	return d, st.s.cache.PutContent(ctx, from.snapshot, what, d)
}

// selectFiles finds what a COPY or ADD names: paths in the context, a stage or an image, and here-documents.
func (st *stage) selectFiles(ctx context.Context, t transfer, from origin) (*source.Selection, error) {
	var files []source.File
	for _, f := range t.paths.SourceContents {
		files = append(files, source.File{Name: f.Path, Data: []byte(f.Data)})
	}
	inline := source.Inline(files)
	if len(t.paths.SourcePaths) == 0 {
		return inline, nil
	}
	tree, err := from.open(ctx)
	if err != nil {
		return nil, err
	}
	sel, err := tree.Select(ctx, t.paths.SourcePaths)
	if err != nil {
		return nil, err
	}
	sel.Append(inline)
	return sel, nil
}

// documents are the here-documents with their names.
func (t transfer) documents() []string {
	var list []string
	for _, f := range t.paths.SourceContents {
		list = append(list, "<<"+f.Path, f.Data)
	}
	return list
}

// createdBy is the line of the history, as docker writes it.
func (t transfer) createdBy() string {
	words := []string{t.verb}
	if t.chown != "" {
		words = append(words, "--chown="+t.chown)
	}
	if t.chmod != "" {
		words = append(words, "--chmod="+t.chmod)
	}
	words = append(words, t.paths.SourcePaths...)
	for _, f := range t.paths.SourceContents {
		words = append(words, "<<"+f.Path)
	}
	return strings.Join(append(words, t.paths.DestPath), " ")
}

// workdir makes the working directory, owned by the user that the image runs as.
func (st *stage) workdir(ctx context.Context, cmd *instructions.WorkdirCommand) error {
	dir := st.chdir(cmd.Path)
	createdBy := "WORKDIR " + dir
	if dir == "/" {
		st.remember(createdBy)
		return nil
	}
	user := st.image.Config.User
	return st.change(ctx, change{
		cmd:       cmd,
		name:      title(cmd),
		createdBy: createdBy,
		key:       cache.NewKey("workdir", string(st.key), dir, user),
		apply: func(_ context.Context, root string) error {
			var owner *source.Owner
			if user != "" {
				o, err := source.LookupOwner(root, user)
				if err != nil {
					return fmt.Errorf("owner of the directory: %w", err)
				}
				owner = &o
			}
			return source.MakeDir(root, dir, owner)
		},
	})
}

// absolute is a destination from the root of the image, with the slash at its end that says it is a directory.
func (st *stage) absolute(dest string) string {
	dir := dest == "" || dest == "." || strings.HasSuffix(dest, "/") || strings.HasSuffix(dest, "/.")
	if !path.IsAbs(dest) {
		dest = path.Join("/", st.image.Config.WorkingDir, dest)
	}
	if dest = path.Clean(dest); dir && dest != "/" {
		dest += "/"
	}
	return dest
}

// workingDir is where RUN starts.
func (st *stage) workingDir() string {
	return path.Join("/", st.image.Config.WorkingDir)
}
