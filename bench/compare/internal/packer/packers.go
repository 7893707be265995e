package packer

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/pkg/archive"
	containerd "github.com/containerd/containerd/v2/pkg/archive/compression"
	"github.com/lbuild/lbuild/diff"
	"github.com/lbuild/lbuild/diff/compress"
	"github.com/lbuild/lbuild/diff/layer"
	buildkit "github.com/moby/buildkit/util/compression"
	"github.com/moby/buildkit/util/overlay"
	storage "go.podman.io/storage/pkg/archive"
)

// Packer makes layers by one code and codec.
type Packer struct {
	// Name is that in results, and Codec that of the layer.
	Name, Codec string
	// How tells what is called.
	How string
	// Module is that of the code.
	Module string
	pack   func(context.Context, Request) (Result, error)
}

const (
	none = "none"
	gzip = "gzip"
	zstd = "zstd"
)

// All are the packers that are compared, lbuild's first.
func All() []Packer {
	packers := []Packer{}
	for _, codec := range []string{gzip, zstd, none} {
		packers = append(packers, Packer{
			"lbuild " + codec, codec, "`diff.Upper` and `layer.Write`", "github.com/lbuild/lbuild", lbuild(codec),
		})
	}
	for _, codec := range []string{gzip, none} {
		packers = append(packers, Packer{
			"containerd " + codec, codec, "`archive.WriteDiff` and `compression.CompressStream`, as its walking differ has them",
			"github.com/containerd/containerd/v2", composed(walk, containerdCodec(codec)),
		})
	}
	for _, codec := range []string{gzip, zstd, none} {
		packers = append(packers, Packer{
			"buildkit " + codec, codec, "`overlay.WriteUpperdir` and `compression`, as its cache has them",
			"github.com/moby/buildkit", composed(upperdir, buildkitCodec(codec)),
		})
	}
	for _, codec := range []string{gzip, zstd, none} {
		packers = append(packers, Packer{
			"storage " + codec, codec, "containers/storage's `archive.TarWithOptions` and `CompressStream` (for gzip that is pgzip), which buildah commits with",
			"go.podman.io/storage", composed(tarWithOptions, storageCodec(codec)),
		})
	}
	return append(
		packers,
		Packer{"sha256", "", "SHA-256 of as many bytes as the tar has, from memory, on one core", "crypto/sha256", hashOnly},
		Packer{"read", "", "reading all files of the upper directory, one after the other", "os", readOnly},
	)
}

// Probe tells that the packer makes no layer: it does a part of the work, as a bound.
func (p Packer) Probe() bool { return p.Codec == "" }

// Owner is whose code it is: the name without the codec.
func (p Packer) Owner() string {
	owner, _, _ := strings.Cut(p.Name, " ")
	return owner
}

func find(name string) (Packer, error) {
	for _, p := range All() {
		if p.Name == name {
			return p, nil
		}
	}
	return Packer{}, fmt.Errorf("no packer is named %q", name)
}

// lbuild does all in one call.
func lbuild(codec string) func(context.Context, Request) (Result, error) {
	return func(ctx context.Context, q Request) (Result, error) {
		f, err := os.Create(q.Blob)
		if err != nil {
			return Result{}, err
		}
		changes := diff.Upper(ctx, diff.UpperOptions{Upper: q.Dirs.Upper, Lower: q.Dirs.Lower})
		l, err := layer.Write(ctx, f, changes, layer.Options{Compression: compress.Compression{Name: codec}})
		return Result{
			Size: l.Size, Plain: l.UncompressedSize, Digest: l.Digest.String(), DiffID: l.DiffID.String(),
		}, errors.Join(err, f.Close())
	}
}

// tarWriter writes the tar of a request, and codec makes a compressor. Nil stands for none.
type (
	tarWriter func(context.Context, Request, io.Writer) error
	codec     func(io.Writer) (io.WriteCloser, error)
)

// composed puts a differ and a codec together, with both digests, in one pass.
func composed(write tarWriter, compressor codec) func(context.Context, Request) (Result, error) {
	return func(ctx context.Context, q Request) (_ Result, err error) {
		b, err := createBlob(q.Blob)
		if err != nil {
			return Result{}, err
		}
		plain := &tarSum{hash: sha256.New()}
		if compressor == nil {
			// The blob is the tar, and has one digest.
			err := errors.Join(write(ctx, q, b), b.Close())
			return Result{Size: b.size, Plain: b.size, Digest: sum(b.hash), DiffID: sum(b.hash)}, err
		}
		c, err := compressor(b)
		if err != nil {
			return Result{}, errors.Join(err, b.Close())
		}
		err = errors.Join(write(ctx, q, io.MultiWriter(c, plain)), c.Close(), b.Close())
		return Result{Size: b.size, Plain: plain.size, Digest: sum(b.hash), DiffID: sum(plain.hash)}, err
	}
}

func walk(ctx context.Context, q Request, w io.Writer) error {
	return archive.WriteDiff(ctx, w, q.Below, q.Merged)
}

func containerdCodec(name string) codec {
	if name == none {
		return nil
	}
	return func(w io.Writer) (io.WriteCloser, error) { return containerd.CompressStream(w, containerd.Gzip) }
}

func upperdir(ctx context.Context, q Request, w io.Writer) error {
	lower := []mount.Mount{{Type: "bind", Source: q.Dirs.Lower[0], Options: []string{"ro", "rbind"}}}
	if len(q.Dirs.Lower) > 1 {
		lower = []mount.Mount{{Type: "overlay", Source: "overlay", Options: []string{"lowerdir=" + strings.Join(q.Dirs.Lower, ":")}}}
	}
	return overlay.WriteUpperdir(ctx, w, q.Dirs.Upper, lower)
}

func buildkitCodec(name string) codec {
	var kind buildkit.Type
	switch name {
	case gzip:
		kind = buildkit.Gzip
	case zstd:
		kind = buildkit.Zstd
	default:
		return nil
	}
	return func(w io.Writer) (io.WriteCloser, error) {
		compressor, _ := kind.Compress(context.Background(), buildkit.New(kind))
		return compressor(w, kind.MediaType())
	}
}

func tarWithOptions(_ context.Context, q Request, w io.Writer) error {
	r, err := storage.TarWithOptions(q.Dirs.Upper, &storage.TarOptions{
		Compression: storage.Uncompressed, WhiteoutFormat: storage.OverlayWhiteoutFormat, WhiteoutData: q.Dirs.Lower,
	})
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	return errors.Join(err, r.Close())
}

func storageCodec(name string) codec {
	switch name {
	case gzip:
		return func(w io.Writer) (io.WriteCloser, error) { return storage.CompressStream(w, storage.Gzip) }
	case zstd:
		return func(w io.Writer) (io.WriteCloser, error) { return storage.CompressStream(w, storage.Zstd) }
	}
	return nil
}
