package diff

import (
	"io/fs"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// deletions tells what the directory deletes, and returns the names that it may have, in order.
func (w *walker) deletions(f *frame) ([]string, error) {
	top := f.merged[:1]
	if f.all {
		top = f.merged
	}
	entries, err := w.list(f, top)
	if err != nil {
		return nil, err
	}
	if f.all {
		return names(entries), w.hidden(f)
	}
	kept := make([]string, 0, len(entries))
	for _, e := range entries {
		gone, err := w.deletes(f, e)
		if err == nil && gone {
			err = w.delete(f, e.Name())
		}
		if err != nil {
			return nil, err
		}
		if !gone {
			kept = append(kept, e.Name())
		}
	}
	return kept, nil
}

// deletes reports whether an entry of the upper directory means that its name is gone. A socket counts: it took the
// place of what was there, and is itself left out.
func (w *walker) deletes(f *frame, e fs.DirEntry) (bool, error) {
	switch t := e.Type(); {
	case t&fs.ModeSocket != 0:
		w.warn(Warning{Kind: Socket, Path: f.path(e.Name())})
		return true, nil
	case t&fs.ModeCharDevice == 0 && !(f.marked && t.IsRegular()):
		return false, nil
	}
	n, err := w.overlay.entry(f.merged[0], e.Name())
	if err == nil && n == nil {
		err = ErrChanged
	}
	if err != nil {
		return false, &PathError{Op: "read", Path: f.path(e.Name()), Err: err}
	}
	return n.whiteout, nil
}

// delete tells that a name is gone, if the lower directories have it.
func (w *walker) delete(f *frame, name string) error {
	base, err := w.below(f, name)
	if err != nil {
		return &PathError{Op: "read", Path: f.path(name), Err: err}
	}
	if base == nil {
		return nil
	}
	if err := w.tell(f); err != nil {
		return err
	}
	return w.send(Change{Kind: Delete, Path: f.path(name)})
}

// hidden tells the names of base that are not in the directory any more, if they are to be told one by one.
func (w *walker) hidden(f *frame) error {
	if w.opts.Whiteouts != Explicit || len(f.base) == 0 {
		return nil
	}
	entries, err := w.list(f, f.base)
	if err != nil {
		return err
	}
	for _, e := range entries {
		n, err := w.overlay.lookup(f.merged, e.Name())
		if err != nil {
			return &PathError{Op: "read", Path: f.path(e.Name()), Err: err}
		}
		if n != nil && n.st.Mode&unix.S_IFMT != unix.S_IFSOCK {
			continue
		}
		if err := w.delete(f, e.Name()); err != nil {
			return err
		}
	}
	return nil
}

// list returns the entries of all directories of a stack, sorted by name, each name once and as the topmost has it.
func (w *walker) list(f *frame, s stack) ([]fs.DirEntry, error) {
	var all []fs.DirEntry
	for _, l := range s {
		entries, err := l.list()
		if err != nil {
			return nil, &PathError{Op: "list", Path: f.change.Path, Err: vanished(err)}
		}
		all = append(all, entries...)
	}
	slices.SortStableFunc(all, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return slices.CompactFunc(all, func(a, b fs.DirEntry) bool { return a.Name() == b.Name() }), nil
}

func names(entries []fs.DirEntry) []string {
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names
}
