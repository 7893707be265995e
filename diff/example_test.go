package diff_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/lbuild/lbuild/diff"
)

// The upper and lower directories of an overlay mount are compared. Here they are made by hand.
func ExampleUpper() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	upper, lower := filepath.Join(dir, "upper"), filepath.Join(dir, "lower")
	for path, content := range map[string]string{
		filepath.Join(lower, "etc/motd"): "hello",
		filepath.Join(upper, "etc/motd"): "hello, world",
		filepath.Join(upper, "etc/new"):  "new",
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			panic(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			panic(err)
		}
	}

	changes := diff.Upper(context.Background(), diff.UpperOptions{Upper: upper, Lower: []string{lower}})
	for c, err := range changes {
		if err != nil {
			panic(err)
		}
		fmt.Println(c.Kind, c.Path, c.Mode, c.Size)
	}
	// Output:
	// modify etc drwxr-xr-x 0
	// modify etc/motd -rw-r--r-- 12
	// add etc/new -rw-r--r-- 3
}
