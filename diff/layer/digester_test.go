package layer_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/lbuild/lbuild/diff"
	"github.com/lbuild/lbuild/diff/compress"
	"github.com/lbuild/lbuild/diff/layer"
	"github.com/opencontainers/go-digest"
)

// hashing is a writer that hashes by itself, as the blobs of a store do.
type hashing struct {
	bytes.Buffer
	asked int
}

func (h *hashing) Digest() digest.Digest {
	h.asked++
	return digest.FromBytes(h.Bytes())
}

func TestWriteTakesTheDigestFromAWriterThatHashes(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), bytes.Repeat([]byte("content "), 100_000), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, codec := range []string{compress.None, compress.Gzip, compress.Zstd} {
		t.Run(codec, func(t *testing.T) {
			opts := layer.Options{Compression: compress.Compression{Name: codec}}
			ctx := context.Background()
			changes := diff.Upper(ctx, diff.UpperOptions{Upper: dir})
			var plain bytes.Buffer
			want, err := layer.Write(ctx, &plain, changes, opts)
			if err != nil {
				t.Fatal(err)
			}
			var own hashing
			got, err := layer.Write(ctx, &own, changes, opts)
			if err != nil || own.asked == 0 {
				t.Fatalf("asked %d times for the digest: %v", own.asked, err)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
			if want.Digest != digest.FromBytes(plain.Bytes()) {
				t.Errorf("digest %s is not that of the blob", want.Digest)
			}
		})
	}
}
