package build

import (
	"context"
	"testing"

	"github.com/lbuild/lbuild/build/images"
	"github.com/lbuild/lbuild/build/internal/storetest"
	"github.com/lbuild/lbuild/diff/compress"
)

// newTestBuilder opens a store that the test alone uses, and holds a lease so that what it writes is kept.
func newTestBuilder(t *testing.T) (*Builder, context.Context) {
	t.Helper()
	store := storetest.Open(t)
	b, err := New(store, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return b, storetest.Lease(t, store)
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
