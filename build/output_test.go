package build

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCopyTreeStopsWhenCanceled(t *testing.T) {
	dir, dest := t.TempDir(), filepath.Join(t.TempDir(), "new", "dest")
	if err := os.WriteFile(filepath.Join(dir, "f"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := copyTree(ctx, dir, dest); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that it was canceled", err)
	}
	if entries, err := os.ReadDir(dest); err != nil || len(entries) > 0 {
		t.Errorf("dest holds %v, %v", entries, err)
	}
}

func TestCopyTreeMergesWithWhatIsThere(t *testing.T) {
	dir, dest := t.TempDir(), t.TempDir()
	if err := errors.Join(
		os.WriteFile(filepath.Join(dir, "f"), []byte("new"), 0o644),
		os.MkdirAll(filepath.Join(dest, "f", "in the way"), 0o755),
		os.WriteFile(filepath.Join(dest, "kept"), []byte("old"), 0o644),
	); err != nil {
		t.Fatal(err)
	}
	if err := copyTree(t.Context(), dir, dest); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, name := range []string{"f", "kept"} {
		data, err := os.ReadFile(filepath.Join(dest, name))
		if err != nil {
			t.Fatal(err)
		}
		got[name] = string(data)
	}
	if diff := cmp.Diff(map[string]string{"f": "new", "kept": "old"}, got); diff != "" {
		t.Error(diff)
	}
}
