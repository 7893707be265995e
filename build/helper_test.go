package build

import (
	"context"
	"os"
	"testing"

	"github.com/lbuild/lbuild/build/images"
	"github.com/lbuild/lbuild/diff/compress"
)

// newTestBuilder opens a store that the test alone uses, and holds a lease so that what it writes is kept.
func newTestBuilder(t *testing.T) (*Builder, context.Context) {
	t.Helper()
	if os.Geteuid() != 0 {
		missing(t, "root, for the store")
	}
	store, err := OpenStore(t.Context(), t.TempDir(), func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	b, err := New(store, Options{})
	if err != nil {
		t.Fatal(err)
	}
	lease, err := store.Lease(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lease.Release(); err != nil {
			t.Error(err)
		}
	})
	return b, lease.Context(t.Context())
}

func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("LBUILD_TEST_STRICT") == "1" {
		t.Fatal("missing: " + what)
	}
	t.Skip("missing: " + what)
}

func compression(t *testing.T, text string) compress.Compression {
	t.Helper()
	c, err := compress.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// prune forgets cached steps as the command does.
func prune(t *testing.T, b *Builder, all bool) images.Pruned {
	t.Helper()
	m, err := images.New(b.store, images.Options{})
	if err != nil {
		t.Error(err)
		return images.Pruned{}
	}
	pruned, err := m.Prune(t.Context(), all)
	if err != nil {
		t.Error(err)
	}
	return pruned
}
