package source

import (
	"errors"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// splitPattern cuts a source before its first part with a wildcard. No pattern means a plain path.
func splitPattern(name string) (base string, pattern []string) {
	parts := strings.Split(name, "/")
	first := slices.IndexFunc(parts, hasWildcard)
	if first < 0 {
		return name, nil
	}
	return path.Join(append([]string{"."}, parts[:first]...)...), parts[first:]
}

// hasWildcard reports whether part is a pattern; a backslash takes the meaning from the next character.
func hasWildcard(part string) bool {
	for i := 0; i < len(part); i++ {
		switch part[i] {
		case '\\':
			i++
		case '*', '?', '[':
			return true
		}
	}
	return false
}

// expand gives the canonical paths under base that match, sorted. Links lead to base, but no further.
func (p *picker) expand(base string, pattern []string) ([]string, error) {
	at, err := p.find(base)
	if err != nil {
		return nil, err
	}
	dirs := []string{at.path}
	for i, part := range pattern {
		var next []string
		for _, dir := range dirs {
			names, err := p.match(dir, part, i < len(pattern)-1)
			if err != nil {
				return nil, err
			}
			next = append(next, names...)
		}
		dirs = next
	}
	return dirs, nil
}

// match gives the entries of one directory that a part of a pattern matches.
func (p *picker) match(dir, part string, onlyDirs bool) ([]string, error) {
	f, names, err := p.tree.root.list(dir)
	if errors.Is(err, unix.ENOTDIR) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var found []string
	for _, name := range names {
		ok, err := filepath.Match(part, name)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		if onlyDirs {
			if m, err := statAt(f, name); err != nil || !m.isDir() {
				continue
			}
		}
		found = append(found, path.Join(dir, name))
	}
	return found, nil
}
