package bench

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"
)

// Tree describes a directory tree of files with content that compresses about as well as that of images does. It depends
// on its description alone: names, sizes and bytes are the same on every machine.
type Tree struct {
	// Seed makes trees of the same shape differ. The zero seed is one as good as any other.
	Seed uint64
	// Files is the number of regular files.
	Files int
	// PerDir is the number of files in each directory. Default: 50.
	PerDir int
	// Min and Max bound the size of each file, in bytes. Sizes between are all as likely.
	Min, Max int64
}

// SmallFiles is the shape of an application with its dependencies: 50,000 files of 0 to 8 KiB, some 200 MB.
var SmallFiles = Tree{Files: 50_000, Max: 8 << 10}

// LargeFiles is the shape of a model or a runtime: 10 files of 50 MB, 500 MB in all.
var LargeFiles = Tree{Files: 10, Min: 50_000_000, Max: 50_000_000}

// fileTime is that of all files and directories, so that a tree packs to the same bytes each time.
var fileTime = time.Unix(1_700_000_000, 0)

const defaultPerDir = 50

// Write makes the tree in an existing directory and returns the number of bytes in its files.
func (t Tree) Write(dir string) (int64, error) {
	if t.PerDir == 0 {
		t.PerDir = defaultPerDir
	}
	source := newContent(t.Seed)
	sizes := rand.New(rand.NewPCG(t.Seed, 1)) //nolint:gosec // seeded on purpose
	var total int64
	for i := range t.Files {
		path := t.path(dir, i)
		if i%t.PerDir == 0 {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				return total, err
			}
		}
		size := t.Min + sizes.Int64N(t.Max-t.Min+1)
		if err := writeFile(path, io.LimitReader(source, size)); err != nil {
			return total, err
		}
		total += size
	}
	return total, t.setDirTimes(dir)
}

// path spreads the directories over two levels.
func (t Tree) path(dir string, i int) string {
	d := i / t.PerDir
	return filepath.Join(dir, fmt.Sprintf("lib%02d", d%32), fmt.Sprintf("module-%04d", d), fmt.Sprintf("file%06d.dat", i))
}

func writeFile(path string, content io.Reader) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return os.Chtimes(path, fileTime, fileTime)
}

func (t Tree) setDirTimes(dir string) error {
	return filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		return os.Chtimes(path, fileTime, fileTime)
	})
}

// content is an endless reader of text-like and random stretches.
type content struct {
	rng  *rand.Rand
	raw  *rand.ChaCha8
	text []byte // what the text-like stretches are cut from
	rest []byte // of the stretch that is being read
	buf  [maxStretch]byte
}

const (
	textPool   = 16 << 20 // bytes; more than a codec's window, so that stretches cut twice do not flatter it
	maxStretch = 2 << 10  // bytes
	words      = 2000
)

func newContent(seed uint64) *content {
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	c := &content{rng: rand.New(rand.NewPCG(seed, 2)), raw: rand.NewChaCha8(key)} //nolint:gosec // seeded on purpose
	vocabulary := make([]string, words)
	for i := range vocabulary {
		vocabulary[i] = c.word()
	}
	for len(c.text) < textPool {
		// Few words are frequent and many are rare, as in code and prose.
		at := c.rng.IntN(1 + c.rng.IntN(words))
		c.text = append(append(c.text, vocabulary[at]...), " \n(,;."[c.rng.IntN(6)])
	}
	return c
}

func (c *content) word() string {
	w := make([]byte, 2+c.rng.IntN(10))
	for i := range w {
		w[i] = byte('a' + c.rng.IntN(26))
	}
	return string(w)
}

// Read never fails.
func (c *content) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		c.next()
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// next takes a stretch: two of three are text.
func (c *content) next() {
	n := 1 + c.rng.IntN(maxStretch)
	if c.rng.IntN(3) > 0 {
		at := c.rng.IntN(textPool - n)
		c.rest = c.text[at : at+n]
		return
	}
	c.rest = c.buf[:n]
	c.raw.Read(c.rest) //nolint:errcheck // never fails
}
