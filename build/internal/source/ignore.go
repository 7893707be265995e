package source

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
	"golang.org/x/sys/unix"
)

const (
	ignoreName    = ".dockerignore"
	maxIgnoreFile = 10 << 20 // bytes
)

// ReadIgnore reads the patterns that leave files out of the context dir: those beside the Buildfile in
// <buildfile>.dockerignore, else those in dir. No such file gives nil. An empty buildfile was read from elsewhere.
func ReadIgnore(dir, buildfile string) ([]string, error) {
	if buildfile != "" {
		patterns, err := readIgnoreFile(filepath.Dir(buildfile), filepath.Base(buildfile)+ignoreName)
		if !errors.Is(err, fs.ErrNotExist) {
			return patterns, err
		}
	}
	patterns, err := readIgnoreFile(dir, ignoreName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return patterns, err
}

// readIgnoreFile reads a file that may be a link, but not to somewhere outside dir.
func readIgnoreFile(dir, name string) ([]string, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	info, err := root.Stat(name) // first: to open a device is to use it
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", filepath.Join(dir, name))
	}
	f, err := root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	patterns, err := parseIgnore(io.LimitReader(f, maxIgnoreFile))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return patterns, nil
}

// parseIgnore reads patterns and tries each of them.
func parseIgnore(r io.Reader) ([]string, error) {
	patterns, err := ignorefile.ReadAll(r)
	if err != nil {
		return nil, err
	}
	for _, p := range patterns {
		if err := checkPattern(p); err != nil {
			return nil, fmt.Errorf("pattern %q: %w", p, err)
		}
	}
	return patterns, nil
}

func checkPattern(pattern string) error {
	if _, err := patternmatcher.New([]string{pattern}); err != nil {
		return err
	}
	// The matcher compiles late, and an exception only when something is left out before it.
	matcher, err := patternmatcher.New([]string{strings.TrimPrefix(pattern, "!")})
	if err != nil {
		return err
	}
	_, err = matcher.MatchesOrParentMatches("x")
	return err
}

// filter knows what of a tree is left out. It is not safe for use at the same time.
type filter struct {
	matcher *patternmatcher.PatternMatcher
}

// scope is what a filter found out about a directory, for the entries in it.
type scope struct{ info patternmatcher.MatchInfo }

func newFilter(patterns []string) (*filter, error) {
	matcher, err := patternmatcher.New(patterns)
	if err != nil {
		return nil, err
	}
	return &filter{matcher}, nil
}

// match reports whether name is left out, given the scope of its directory.
func (f *filter) match(name string, in scope) (bool, scope, error) {
	if len(f.matcher.Patterns()) == 0 {
		return false, scope{}, nil
	}
	out, info, err := f.matcher.MatchesUsingParentResults(name, in.info)
	return out, scope{info}, err
}

// enter gives whether a canonical path is left out, and the scope for what lies in it.
func (f *filter) enter(name string) (out bool, in scope, err error) {
	if name == "." {
		return false, scope{}, nil
	}
	at := ""
	for part := range strings.SplitSeq(name, "/") {
		at = path.Join(at, part)
		if out, in, err = f.match(at, in); err != nil {
			return false, scope{}, err
		}
	}
	return out, in, nil
}

// reaches reports whether an exception might bring back something in a directory that is left out.
func (f *filter) reaches(dir string) bool {
	if !f.matcher.Exclusions() {
		return false
	}
	for _, p := range f.matcher.Patterns() {
		if !p.Exclusion() {
			continue
		}
		if fixed, wild := fixedPart(p.String()); wild || strings.HasPrefix(fixed+"/", dir+"/") {
			return true
		}
	}
	return false
}

// fixedPart cuts a trailing "/*" or "/**" off a pattern; wild means that what is left is still no plain path.
func fixedPart(pattern string) (fixed string, wild bool) {
	fixed = strings.TrimSuffix(strings.TrimSuffix(pattern, "/**"), "/*")
	return fixed, strings.ContainsAny(fixed, `*?[]^\`)
}
