package integration

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/containerd/containerd/v2/pkg/archive/compression"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"
)

// layoutImage is the image that the first entry of an OCI layout stands for.
type layoutImage struct {
	path     string
	index    ocispec.Index
	desc     ocispec.Descriptor
	manifest ocispec.Manifest
	config   ocispec.Image
}

func (l *lab) layoutImage(dir string) layoutImage {
	l.Helper()
	img := layoutImage{path: filepath.Join(l.dir, dir)}
	l.decode(filepath.Join(img.path, ocispec.ImageIndexFile), &img.index)
	if len(img.index.Manifests) == 0 {
		l.Fatalf("%s has no image", dir)
	}
	img.desc = img.index.Manifests[0]
	l.decode(blobFile(img.path, img.desc.Digest), &img.manifest)
	l.decode(blobFile(img.path, img.manifest.Config.Digest), &img.config)
	return img
}

func (l *lab) decode(file string, into any) {
	l.Helper()
	data, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		l.Fatalf("%s: %v", file, err)
	}
}

// describe writes a tree as text, a line for each name below dir: type and mode, owner, content, and whatever else a layer
// carries. Times of directories are left out: each unpacker changes them while it fills them.
func (l *lab) describe(dir string) string {
	l.Helper()
	var out strings.Builder
	links := map[uint64]string{} // inode to the first name
	root := filepath.Join(l.dir, dir)
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || name == root {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		details, err := details(name, info)
		if err != nil {
			return err
		}
		stat := info.Sys().(*syscall.Stat_t)
		fmt.Fprintf(&out, "%s %s %d:%d%s", rel, info.Mode(), stat.Uid, stat.Gid, details)
		if first, ok := links[stat.Ino]; ok {
			fmt.Fprintf(&out, " same as %s", first)
		} else if stat.Nlink > 1 && !info.IsDir() {
			links[stat.Ino] = rel
		}
		out.WriteString("\n")
		return nil
	})
	if err != nil {
		l.Fatal(err)
	}
	return out.String()
}

func details(name string, info fs.FileInfo) (string, error) {
	text := ""
	switch mode := info.Mode(); {
	case mode.IsRegular():
		data, err := os.ReadFile(name)
		if err != nil {
			return "", err
		}
		text = fmt.Sprintf(" %d %.8x", len(data), sha256.Sum256(data))
	case mode.Type() == fs.ModeSymlink:
		target, err := os.Readlink(name)
		if err != nil {
			return "", err
		}
		return " -> " + target + fmt.Sprint(" ", info.ModTime().Unix()), nil
	case mode&fs.ModeDevice != 0:
		rdev := info.Sys().(*syscall.Stat_t).Rdev
		text = fmt.Sprintf(" %d,%d", unix.Major(rdev), unix.Minor(rdev))
	}
	if !info.IsDir() {
		text += fmt.Sprint(" ", info.ModTime().Unix())
	}
	attrs, err := xattrs(name)
	return text + attrs, err
}

func xattrs(name string) (string, error) {
	list := make([]byte, 4096)
	n, err := unix.Llistxattr(name, list)
	if err != nil {
		return "", err
	}
	text := ""
	names := strings.Split(strings.TrimSuffix(string(list[:n]), "\x00"), "\x00")
	slices.Sort(names)
	for _, attr := range names {
		if attr == "" || strings.HasPrefix(attr, "trusted.") {
			continue
		}
		value := make([]byte, 1024)
		n, err := unix.Lgetxattr(name, attr, value)
		if err != nil {
			return "", err
		}
		text += fmt.Sprintf(" %s=%q", attr, value[:n])
	}
	return text, nil
}

// diffID unpacks a layer's blob and hashes the tar.
func (l *lab) diffID(file string) digest.Digest {
	l.Helper()
	f, err := os.Open(file)
	if err != nil {
		l.Fatal(err)
	}
	defer f.Close()
	plain, err := compression.DecompressStream(f)
	if err != nil {
		l.Fatal(err)
	}
	defer plain.Close()
	d, err := digest.FromReader(plain)
	if err != nil {
		l.Fatal(err)
	}
	return d
}
