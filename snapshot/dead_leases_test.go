package snapshot

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestOpenLeavesALeaseThatCannotBeEnded(t *testing.T) {
	root := newRoot(t)
	openStore(t, Options{Root: root})
	for _, id := range []string{"gone", "stuck", "too"} {
		if err := os.MkdirAll(filepath.Join(root, "leases", id, "mnt"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	var warnings []string
	openStore(t, Options{
		Root: root,
		Reap: func(_ context.Context, dir string) error {
			if filepath.Base(dir) == "stuck" {
				return errors.New("outlives SIGKILL")
			}
			return nil
		},
		Warn: func(err error) { warnings = append(warnings, err.Error()) },
	})
	if len(warnings) != 1 || !strings.Contains(warnings[0], "lease stuck") || !strings.Contains(warnings[0], "outlives SIGKILL") {
		t.Errorf("got %q, want one warning of the stuck lease", warnings)
	}
	if left := leftovers(t, root); !slices.Equal(left, []string{"leases/stuck"}) {
		t.Errorf("left are %v, want the stuck lease only", left)
	}
	openStore(t, Options{Root: root})
	if left := leftovers(t, root); len(left) > 0 {
		t.Errorf("the next one leaves %v", left)
	}
}

func TestOpenThatIsCanceledIsAnError(t *testing.T) {
	root := newRoot(t)
	openStore(t, Options{Root: root})
	if err := os.MkdirAll(filepath.Join(root, "leases", "dead", "mnt"), 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	reap := func(ctx context.Context, _ string) error { cancel(); return ctx.Err() }
	if _, err := Open(ctx, Options{Root: root, Reap: reap}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that it was canceled", err)
	}
}
