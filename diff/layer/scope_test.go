package layer_test

import (
	"os"
	"testing"

	"github.com/lbuild/lbuild/diff/internal/treetest"
	"pgregory.net/rapid"
)

// scope is a test of its own for one history: what it made goes when it ends, and its failures are told to rapid.
type scope struct {
	testing.TB
	rt       *rapid.T
	root     string // where temporary directories are made
	cleanups []func()
}

func (s *scope) Cleanup(f func()) { s.cleanups = append(s.cleanups, f) }

func (s *scope) Fatal(args ...any)                 { s.rt.Fatal(args...) }
func (s *scope) Fatalf(format string, args ...any) { s.rt.Fatalf(format, args...) }

func (s *scope) TempDir() string {
	dir, err := os.MkdirTemp(s.root, "history")
	if err != nil {
		s.rt.Fatal(err)
	}
	s.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			s.Error(err)
		}
	})
	return dir
}

// unmount ends the newest mount before its time.
func (s *scope) unmount(o *treetest.Overlay) {
	last := len(s.cleanups) - 1
	s.cleanups[last]()
	s.cleanups = s.cleanups[:last]
	if entries, err := os.ReadDir(o.Merged); err != nil || len(entries) > 0 {
		s.rt.Fatalf("%s is mounted still: %v", o.Merged, err)
	}
}

func (s *scope) end() {
	for len(s.cleanups) > 0 {
		last := len(s.cleanups) - 1
		f := s.cleanups[last]
		s.cleanups = s.cleanups[:last]
		f()
	}
}
