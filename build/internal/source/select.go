package source

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Selection is what the sources of one COPY or ADD name, in their order. It stays valid until its trees are closed.
type Selection struct{ items []item }

// item is one thing to copy: a file, the contents of a directory, or an inline document.
type item struct {
	name   string // of a file, for a destination that is a directory
	tree   *Tree  // nil for an inline document
	path   string // canonical, in tree
	node   node
	inline []byte
}

// node is a selected entry. The kids are sorted by name.
type node struct {
	name  string
	meta  meta
	kids  []node
	sum   sum
	known bool // sum is filled in
	later bool // Place left the content out
}

// File is an inline document, as a heredoc gives it.
type File struct {
	Name string
	Data []byte
}

// inlineMode is what docker gives an inline document.
const inlineMode = unix.S_IFREG | 0o644

// Inline selects documents that are part of the Buildfile. They are owned by 0:0.
func Inline(files []File) *Selection {
	s := &Selection{}
	for _, f := range files {
		m := meta{mode: inlineMode, size: int64(len(f.Data))}
		s.items = append(s.items, item{name: path.Base(f.Name), node: node{meta: m}, inline: f.Data})
	}
	return s
}

// Append adds what other selects behind what s selects.
func (s *Selection) Append(other *Selection) { s.items = append(s.items, other.items...) }

// Len is the number of files and directories that were named, not counting what lies in them.
func (s *Selection) Len() int { return len(s.items) }

// Select finds what sources name: paths or patterns of filepath.Match, relative to the tree. A link that is named is
// followed inside the tree. As in docker one pattern may match nothing, but not all. Errors are of type *Error
// and wrap ErrNotFound or ErrOutside where that is the cause.
func (t *Tree) Select(ctx context.Context, sources []string) (*Selection, error) {
	filter, err := newFilter(t.opts.Ignore)
	if err != nil {
		return nil, err
	}
	p := picker{tree: t, filter: filter}
	s := &Selection{}
	for _, source := range sources {
		items, err := p.pick(ctx, source)
		if err != nil {
			return nil, &Error{Source: source, Err: err}
		}
		s.items = append(s.items, items...)
	}
	if len(s.items) == 0 && len(sources) > 0 {
		return nil, &Error{Source: sources[0], Err: fmt.Errorf("%w: no file matches the pattern", ErrNotFound)}
	}
	return s, nil
}

// errIgnored is the cause when an ignore pattern hides a source.
var errIgnored = fmt.Errorf("%w (excluded by .dockerignore)", ErrNotFound)

// picker finds sources in a tree.
type picker struct {
	tree   *Tree
	filter *filter
}

// pick gives what one source names: one item, or as many as match a pattern.
func (p *picker) pick(ctx context.Context, source string) ([]item, error) {
	name := path.Clean(strings.TrimLeft(source, "/"))
	if name == ".." || strings.HasPrefix(name, "../") {
		return nil, ErrOutside
	}
	base, pattern := splitPattern(name)
	if pattern == nil {
		it, err := p.item(ctx, name)
		return []item{it}, err
	}
	names, err := p.expand(base, pattern)
	if err != nil {
		return nil, err
	}
	var items []item
	for _, name := range names {
		it, err := p.item(ctx, name)
		if errors.Is(err, errIgnored) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("matches %q, which %w", name, err)
		}
		items = append(items, it)
	}
	return items, nil
}

// item selects the one thing that name leads to.
func (p *picker) item(ctx context.Context, name string) (item, error) {
	at, err := p.find(name)
	if err != nil {
		return item{}, err
	}
	it := item{name: path.Base(name), tree: p.tree, path: at.path, node: node{meta: p.tree.owned(at.meta)}}
	out, in, err := p.filter.enter(at.path)
	if err != nil {
		return item{}, err
	}
	if at.meta.isDir() && (!out || p.filter.reaches(at.path)) {
		it.node.kids, err = p.walk(ctx, at.path, in)
	}
	if out && len(it.node.kids) == 0 {
		return item{}, cmp.Or(err, errIgnored)
	}
	return it, err
}

// find resolves name in the tree, where links that are left out do not exist.
func (p *picker) find(name string) (place, error) {
	at, err := p.tree.root.resolve(name)
	if errors.Is(err, unix.ENOTDIR) {
		return place{}, ErrNotFound
	}
	if err != nil {
		return place{}, err
	}
	for _, link := range at.links {
		if out, _, err := p.filter.enter(link); err != nil || out {
			return place{}, cmp.Or(err, errIgnored)
		}
	}
	if !at.found && at.left && p.tree.opts.RootOwned {
		return place{}, ErrOutside
	}
	if !at.found {
		return place{}, ErrNotFound
	}
	return at, nil
}

// walk reads what lies in a directory, sorted by name, without what is left out.
func (p *picker) walk(ctx context.Context, dir string, in scope) ([]node, error) {
	f, names, err := p.tree.root.list(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	nodes := make([]node, 0, len(names))
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n, keep, err := p.entry(ctx, f, path.Join(dir, name), in)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it was deleted meanwhile
		}
		if err != nil {
			return nil, err
		}
		if keep {
			nodes = append(nodes, n)
		}
	}
	return slices.Clip(nodes), nil
}

// entry reads one entry of an open directory and what lies in it. A directory that is left out
// is kept all the same when something in it is.
func (p *picker) entry(ctx context.Context, dir *os.File, name string, in scope) (n node, keep bool, err error) {
	out, below, err := p.filter.match(name, in)
	if err != nil || out && !p.filter.reaches(name) {
		return node{}, false, err
	}
	m, err := statAt(dir, path.Base(name))
	if err != nil {
		return node{}, false, err
	}
	n = node{name: path.Base(name), meta: p.tree.owned(m)}
	if m.isDir() {
		n.kids, err = p.walk(ctx, name, below)
	}
	return n, !out || len(n.kids) > 0, err
}
