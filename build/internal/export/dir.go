package export

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// OCIDir puts an image into an OCI layout, which is made when there is none. In one that exists, an entry of the same
// name is replaced and everything else stays. Each file appears whole and index.json last, so a reader sees the image
// complete or not at all. Two writers wait for each other.
func OCIDir(ctx context.Context, store content.Provider, dir string, img Image) error {
	if err := ociDir(ctx, store, dir, img); err != nil {
		return fmt.Errorf("oci layout %s: %w", dir, err)
	}
	return nil
}

func ociDir(ctx context.Context, store content.Provider, dir string, img Image) (err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	unlock, err := lock(ctx, root)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	index, err := readIndex(root)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	files, err := blobFiles(ctx, store, []Image{img})
	if err != nil {
		return err
	}
	version, err := jsonFile(ocispec.ImageLayoutFile, ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion})
	if err != nil {
		return err
	}
	indexFile, err := indexJSON(merge(index, entries(img)))
	if err != nil {
		return err
	}
	if err := placeBlobs(ctx, store, root, files); err != nil {
		return err
	}
	for _, f := range []file{version, indexFile} {
		err := replaceFile(root, f.name, func(w io.Writer) error { return f.copyTo(ctx, store, w) })
		if err != nil {
			return err
		}
	}
	return nil
}

// lockPause is how long a lock that another has is left alone. The kernel could wait for it, but not for ctx beside it.
const lockPause = 20 * time.Millisecond

// lock waits until no other export works in root. The lock is on the directory itself, so nothing is left behind.
func lock(ctx context.Context, root *os.Root) (unlock func() error, err error) {
	dir, err := root.Open(".")
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return dir.Close, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(fmt.Errorf("lock: %w", err), dir.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("wait for another export: %w", context.Cause(ctx)), dir.Close())
		case <-time.After(lockPause):
		}
	}
}

// merge puts entries at the end of an index, in place of those with the same name, or, without names, of the same
// manifest.
func merge(index ocispec.Index, entries []ocispec.Descriptor) ocispec.Index {
	for _, entry := range entries {
		index.Manifests = slices.DeleteFunc(index.Manifests, func(old ocispec.Descriptor) bool { return replaces(entry, old) })
		index.Manifests = append(index.Manifests, entry)
	}
	return index
}

func replaces(entry, old ocispec.Descriptor) bool {
	for _, key := range []string{images.AnnotationImageName, ocispec.AnnotationRefName} {
		if entry.Annotations[key] != old.Annotations[key] {
			return false
		}
	}
	return len(entry.Annotations) > 0 || entry.Digest == old.Digest
}

// readIndex reads index.json, which somebody else may have written.
func readIndex(root *os.Root) (index ocispec.Index, err error) {
	data, err := readSmall(root, ocispec.ImageIndexFile)
	if err != nil {
		return index, err
	}
	if err := json.Unmarshal(data, &index); err != nil {
		return index, fmt.Errorf("%s: %w", ocispec.ImageIndexFile, err)
	}
	return index, nil
}

// readSmall reads a regular file of at most maxManifest bytes.
func readSmall(root *os.Root, name string) (data []byte, err error) {
	f, err := openRegular(root, name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	data, err = io.ReadAll(io.LimitReader(f, maxManifest+1))
	if err == nil && len(data) > maxManifest {
		err = fmt.Errorf("%s has more than %d bytes", name, maxManifest)
	}
	return data, err
}

// openRegular opens a file without waiting for the other end of a pipe.
func openRegular(root *os.Root, name string) (*os.File, error) {
	f, err := root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", name)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// copies are how many blobs are placed at the same time: what each waits for most is the disk, which serves several at once.
const copies = 4

// placeBlobs writes blobs whole, and then the names of all to the disk.
func placeBlobs(ctx context.Context, store content.Provider, root *os.Root, files []file) error {
	dirs := map[string]bool{}
	for _, f := range files {
		dirs[path.Dir(f.name)] = true
	}
	for dir := range dirs {
		if err := root.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(copies)
	for _, f := range files {
		g.Go(func() error { return place(ctx, store, root, f) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for dir := range dirs {
		if err := syncDir(root, dir); err != nil {
			return err
		}
	}
	return nil
}

// place writes a blob. One that is there already, with the right bytes, stays.
func place(ctx context.Context, store content.Provider, root *os.Root, f file) error {
	if copyBlob(ctx, &layoutProvider{root}, io.Discard, f.blob) == nil {
		return nil
	}
	return putFile(root, f.name, func(w io.Writer) error { return f.copyTo(ctx, store, w) })
}
