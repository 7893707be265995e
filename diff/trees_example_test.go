package diff_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/lbuild/lbuild/diff"
)

// Two directories are compared, which may lie on different file systems.
func ExampleTrees() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	for _, path := range []string{"old/bin/tar", "new/bin/sh", "new/lib/libc.so"} {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			panic(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			panic(err)
		}
	}

	changes := diff.Trees(context.Background(), diff.TreesOptions{
		Old: filepath.Join(dir, "old"), New: filepath.Join(dir, "new"),
	})
	for c, err := range changes {
		if err != nil {
			panic(err)
		}
		fmt.Println(c.Kind, c.Path)
	}
	// Output:
	// modify bin
	// delete bin/tar
	// add bin/sh
	// add lib
	// add lib/libc.so
}
