package source

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/zeebo/blake3"
	"golang.org/x/sys/unix"
)

const (
	// settled is how old the last change of a file must be before its digest is remembered: a second change
	// within one tick of the file system's clock would go unseen.
	settled = 2 * time.Second
	// maxIdle is how many times a digest is saved again without having been asked for.
	maxIdle = 20
)

// DigestCache remembers digests of files by path, size, times and inode, so that unchanged files are not read again.
// The zero value is empty and ready; a nil cache remembers nothing. It is safe for use at the same time.
type DigestCache struct {
	mu    sync.Mutex
	files map[fileKey]remembered
}

// fileKey is a digest of what must be the same for a file to count as unchanged. It is all that is kept of the path:
// a context may have very many files.
type fileKey [32]byte

func newFileKey(dir, path string, m *meta) fileKey {
	var room [512]byte
	b := append(append(append(room[:0], dir...), 0), path...)
	b = appendNumbers(append(b, 0), uint64(m.size), uint64(m.mtime.Sec), uint64(m.mtime.Nsec), uint64(m.ctime.Sec), uint64(m.ctime.Nsec), m.ino, m.dev)
	return blake3.Sum256(b)
}

type remembered struct {
	sum  sum
	idle byte // saves since it was asked for
}

// digestFile begins every file that Save writes. Then come entries of a fixed size, and a sum of them all.
const digestFile = "lbuild digests 2\n"

// LoadDigests reads what Save wrote. A missing or damaged file gives an empty cache.
func LoadDigests(file string) (*DigestCache, error) {
	data, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.EISDIR) {
		return nil, err
	}
	c := &DigestCache{}
	entries, ok := checkDigests(data)
	if !ok {
		return c, nil
	}
	c.files = make(map[fileKey]remembered, len(entries)/entrySize)
	for ; len(entries) > 0; entries = entries[entrySize:] {
		var key fileKey
		var r remembered
		n := copy(key[:], entries)
		n += copy(r.sum[:], entries[n:])
		r.idle = entries[n]
		c.files[key] = r
	}
	return c, nil
}

const entrySize = len(fileKey{}) + len(sum{}) + 1

// checkDigests gives the entries of a file that is whole.
func checkDigests(data []byte) (entries []byte, ok bool) {
	body, found := bytes.CutPrefix(data, []byte(digestFile))
	end := len(body) - len(sum{})
	if !found || end < 0 || end%entrySize != 0 {
		return nil, false
	}
	want := blake3.Sum256(body[:end])
	return body[:end], bytes.Equal(body[end:], want[:])
}

// Save writes the cache to file, whole or not at all, and makes its directory. Of several processes the last one wins.
// What is not whole is in scratch, a directory of the same file system that somebody else tidies up.
func (c *DigestCache) Save(file, scratch string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(scratch, "digests-")
	if err != nil {
		return err
	}
	err = c.write(f)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// write writes what was asked for not too long ago.
func (c *DigestCache) write(f io.Writer) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := bufio.NewWriterSize(f, readBuffer)
	if _, err := w.WriteString(digestFile); err != nil {
		return err
	}
	all := blake3.New()
	both := io.MultiWriter(w, all)
	var entry [entrySize]byte
	for key, r := range c.files {
		if r.idle >= maxIdle {
			continue
		}
		n := copy(entry[:], key[:])
		n += copy(entry[n:], r.sum[:])
		entry[n] = r.idle + 1
		if _, err := both.Write(entry[:]); err != nil {
			return err
		}
	}
	if _, err := w.Write(all.Sum(nil)); err != nil {
		return err
	}
	return w.Flush()
}

// find fills in the digest of a file that did not change.
func (c *DigestCache) find(key fileKey, s *sum) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	r, ok := c.files[key]
	if !ok {
		return false
	}
	*s, r.idle = r.sum, 0
	c.files[key] = r
	return true
}

// add remembers the digest of a file.
func (c *DigestCache) add(key fileKey, s sum) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.files == nil {
		c.files = map[fileKey]remembered{}
	}
	c.files[key] = remembered{sum: s}
}

// recall fills in the digest of a file of the tree, if it is remembered.
func (t *Tree) recall(path string, m *meta, s *sum) bool {
	return t.opts.Digests != nil && t.opts.Digests.find(newFileKey(t.dir, path, m), s)
}

// remember keeps the digest of a file, unless the file is so young that it might change unseen.
func (t *Tree) remember(path string, m *meta, s sum) {
	if t.opts.Digests == nil || time.Since(time.Unix(m.ctime.Unix())) < settled {
		return
	}
	t.opts.Digests.add(newFileKey(t.dir, path, m), s)
}
