package images_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/lbuild/lbuild/build"
	"github.com/lbuild/lbuild/build/images"
	"github.com/lbuild/lbuild/build/internal/storetest"
)

// An image of the store gets a second name. It needs root, for the overlay mounts.
func ExampleImages_Tag() {
	dir, err := os.MkdirTemp("", "lbuild-example-")
	if err != nil {
		log.Fatal(err)
	}
	names, err := tagged(context.Background(), dir)
	if err = errors.Join(err, os.RemoveAll(dir)); err != nil {
		log.Fatal(err)
	}
	for _, name := range names {
		fmt.Println(name)
	}
	// The output is checked by TestExampleTags, where it can run:
	// docker.io/library/example:1
	// docker.io/library/example:latest
}

func tagged(ctx context.Context, dir string) (names []string, err error) {
	store, err := build.OpenStore(ctx, filepath.Join(dir, "store"), nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()

	builder, err := build.New(store, build.Options{})
	if err != nil {
		return nil, err
	}
	text := []byte("FROM scratch\nCOPY <<greeting /\nhello\ngreeting\n")
	if _, err := builder.Build(ctx, build.Request{Context: dir, BuildfileText: text, Tags: []string{"example:1"}}); err != nil {
		return nil, err
	}
	m, err := images.New(store, images.Options{})
	if err != nil {
		return nil, err
	}
	if err := m.Tag(ctx, "example:1", "example:latest"); err != nil {
		return nil, err
	}
	list, err := m.List(ctx)
	for _, img := range list {
		names = append(names, img.Name)
	}
	return names, err
}

func TestExampleTags(t *testing.T) {
	storetest.NeedRoot(t)
	names, err := tagged(t.Context(), t.TempDir())
	if want := []string{"docker.io/library/example:1", "docker.io/library/example:latest"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("names are %q, %v; want %q", names, err, want)
	}
}
