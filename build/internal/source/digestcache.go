package source

import (
	"encoding/gob"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

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
	files map[string]remembered // by path
}

// fileKey is what must be the same for a file to count as unchanged.
type fileKey struct {
	Path         string
	Size         int64
	Mtime, Ctime unix.Timespec
	Ino, Dev     uint64
}

func newFileKey(path string, m *meta) fileKey {
	return fileKey{Path: path, Size: m.size, Mtime: m.mtime, Ctime: m.ctime, Ino: m.ino, Dev: m.dev}
}

type remembered struct {
	Key  fileKey
	Sum  sum
	Idle int // saves since it was asked for
}

// LoadDigests reads what Save wrote. A missing or damaged file gives an empty cache.
func LoadDigests(file string) (*DigestCache, error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return &DigestCache{}, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	c := &DigestCache{}
	if err := gob.NewDecoder(f).Decode(&c.files); err != nil {
		return &DigestCache{}, nil
	}
	return c, nil
}

// Save writes the cache to file, whole or not at all, and makes its directory. Of several processes the last one wins.
func (c *DigestCache) Save(file string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-*")
	if err != nil {
		return err
	}
	err = gob.NewEncoder(f).Encode(c.recent())
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// recent copies what was asked for not too long ago.
func (c *DigestCache) recent() map[string]remembered {
	c.mu.Lock()
	defer c.mu.Unlock()
	files := make(map[string]remembered, len(c.files))
	for path, r := range c.files {
		if r.Idle++; r.Idle <= maxIdle {
			files[path] = r
		}
	}
	return files
}

// find fills in the digest of a file that did not change.
func (c *DigestCache) find(key fileKey, s *sum) bool {
	if c == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	r, ok := c.files[key.Path]
	if !ok || r.Key != key {
		return false
	}
	*s, r.Idle = r.Sum, 0
	c.files[key.Path] = r
	return true
}

// add remembers the digest of a file, unless the file is so young that it might change unseen.
func (c *DigestCache) add(key fileKey, s sum) {
	if c == nil || time.Since(time.Unix(key.Ctime.Unix())) < settled {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.files == nil {
		c.files = map[string]remembered{}
	}
	c.files[key.Path] = remembered{Key: key, Sum: s}
}
