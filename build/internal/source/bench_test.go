package source

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// makeMany makes n small files, 100 in a directory.
func makeMany(tb testing.TB, n int) string {
	tb.Helper()
	dir := tb.TempDir()
	for i := range n {
		sub := filepath.Join(dir, fmt.Sprintf("d%d/e%d", i/10000, i/100))
		if i%100 == 0 {
			must(tb, os.MkdirAll(sub, 0o755))
		}
		must(tb, os.WriteFile(filepath.Join(sub, fmt.Sprintf("file-%d.txt", i)), fmt.Appendf(nil, "content of file %d\n", i), 0o644))
	}
	return dir
}

const many = 100_000

func BenchmarkSelect100kFiles(b *testing.B) {
	tree := openTree(b, makeMany(b, many), Options{Ignore: []string{"**/*.log", "!keep/x"}})
	for b.Loop() {
		selectAll(b, tree, ".")
	}
}

func BenchmarkDigest100kFiles(b *testing.B) {
	tree := openTree(b, makeMany(b, many), Options{})
	for b.Loop() {
		digestAnew(b, tree)
	}
}

func BenchmarkDigest100kFilesRemembered(b *testing.B) {
	tree := openTree(b, makeMany(b, many), Options{Digests: &DigestCache{}})
	time.Sleep(settled)
	digestAnew(b, tree)
	for b.Loop() {
		digestAnew(b, tree)
	}
}

// digestAnew times a digest alone: a selection keeps what it has found out.
func digestAnew(b *testing.B, tree *Tree) {
	b.Helper()
	b.StopTimer()
	sel := selectAll(b, tree, ".")
	b.StartTimer()
	_, err := sel.Digest(b.Context())
	must(b, err)
}

func BenchmarkCopy100kFiles(b *testing.B) {
	sel := selectAll(b, openTree(b, makeMany(b, many), Options{}), ".")
	for b.Loop() {
		b.StopTimer()
		root := b.TempDir()
		b.StartTimer()
		must(b, Copy(b.Context(), root, sel, "/app", CopyOptions{}))
		b.StopTimer()
		must(b, os.RemoveAll(root))
		b.StartTimer()
	}
}

func BenchmarkCopyLargeFile(b *testing.B) {
	const size = 256 << 20
	dir := b.TempDir()
	must(b, os.WriteFile(filepath.Join(dir, "f"), make([]byte, size), 0o644))
	sel := selectAll(b, openTree(b, dir, Options{}), "f")
	root := b.TempDir()
	b.SetBytes(size)
	for b.Loop() {
		must(b, Copy(b.Context(), root, sel, "/f", CopyOptions{}))
	}
}
