package build_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"testing"

	"github.com/lbuild/lbuild/build"
	"github.com/lbuild/lbuild/build/internal/storetest"
)

// A build into an OCI layout, in a store of its own. It needs root, for the overlay mounts.
func ExampleBuilder_Build() {
	dir, err := os.MkdirTemp("", "lbuild-example-")
	if err != nil {
		log.Fatal(err)
	}
	result, err := buildLayout(context.Background(), dir)
	if err = errors.Join(err, os.RemoveAll(dir)); err != nil {
		log.Fatal(err)
	}
	for _, layer := range result.Layers {
		fmt.Printf("line %d: %s\n", layer.Line, layer.CreatedBy)
	}
	// The output is checked by TestExampleBuilds, where it can run:
	// line 2: COPY <<greeting /
}

func buildLayout(ctx context.Context, dir string) (_ *build.Result, err error) {
	store, err := build.OpenStore(ctx, filepath.Join(dir, "store"), nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()

	builder, err := build.New(store, build.Options{})
	if err != nil {
		return nil, err
	}
	return builder.Build(ctx, build.Request{
		Context:       dir,
		Buildfile:     "Buildfile",
		BuildfileText: []byte("FROM scratch\nCOPY <<greeting /\nhello\ngreeting\nCMD [\"/greeting\"]\n"),
		Tags:          []string{"example:latest"},
		Outputs:       []build.Output{{Type: build.OutputOCI, Dest: filepath.Join(dir, "layout"), Dir: true}},
	})
}

func TestExampleBuilds(t *testing.T) {
	storetest.NeedRoot(t)
	dir := t.TempDir()
	result, err := buildLayout(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Layers) != 1 || result.Layers[0].CreatedBy != "COPY <<greeting /" || result.Layers[0].Line != 2 {
		t.Errorf("layers are %+v", result.Layers)
	}
	if _, err := os.Stat(filepath.Join(dir, "layout", "blobs", "sha256", result.Manifest.Digest.Encoded())); err != nil {
		t.Error(err)
	}
}
