package layer_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/lbuild/lbuild/diff"
	"github.com/lbuild/lbuild/diff/compress"
	"github.com/lbuild/lbuild/diff/layer"
)

// A step has run on an overlay mount: it changed one file, made one, and touched a third without changing it. The layer
// has what changed, and what it is in.
func Example() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	files := []struct{ path, content string }{
		{"lower/etc/motd", "hello"},
		{"lower/etc/hosts", "127.0.0.1 localhost"},
		{"upper/etc/motd", "hello, world"},
		{"upper/etc/hosts", "127.0.0.1 localhost"},
		{"upper/etc/new", ""},
	}
	made := time.Unix(1_700_000_000, 0)
	for _, f := range files {
		path := filepath.Join(dir, f.path)
		err := errors.Join(
			os.MkdirAll(filepath.Dir(path), 0o755),
			os.WriteFile(path, []byte(f.content), 0o644),
			os.Chtimes(path, made, made),
		)
		if err != nil {
			panic(err)
		}
	}

	ctx := context.Background()
	var blob bytes.Buffer
	var left diff.Stats
	changes := diff.Upper(ctx, diff.UpperOptions{
		Upper: filepath.Join(dir, "upper"), Lower: []string{filepath.Join(dir, "lower")}, Stats: &left,
	})
	result, err := layer.Write(ctx, &blob, changes, layer.Options{})
	if err != nil {
		panic(err)
	}
	fmt.Println(result.MediaType, result.Entries, "entries,", left.Unchanged, "file left out")
	if err := list(&blob); err != nil {
		panic(err)
	}
	// Output:
	// application/vnd.oci.image.layer.v1.tar+gzip 3 entries, 1 file left out
	// etc/ 0
	// etc/motd 12
	// etc/new 0
}

// list prints the names and sizes in a compressed layer.
func list(blob io.Reader) error {
	plain, err := gzip.NewReader(blob)
	if err != nil {
		return err
	}
	for tr := tar.NewReader(plain); ; {
		hdr, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return plain.Close()
		}
		if err != nil {
			return err
		}
		fmt.Println(hdr.Name, hdr.Size)
	}
}

// A directory without an overlay is a layer too: all that is in it.
func ExampleWrite() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, "hello"), []byte("hello, world"), 0o644); err != nil {
		panic(err)
	}

	var blob bytes.Buffer
	ctx := context.Background()
	changes := diff.Upper(ctx, diff.UpperOptions{Upper: dir})
	result, err := layer.Write(ctx, &blob, changes, layer.Options{
		Compression: compress.Compression{Name: compress.Zstd},
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(result.MediaType, result.Entries, result.UncompressedSize)
	fmt.Println(result.Digest == digest.FromBytes(blob.Bytes()))
	// Output:
	// application/vnd.oci.image.layer.v1.tar+zstd 2 2560
	// true
}
