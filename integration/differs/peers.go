package main

import (
	"context"
	"errors"
	"io"
	"runtime/debug"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/pkg/archive"
	"github.com/containerd/continuity/fs"
	"github.com/lbuild/lbuild/diff"
	"github.com/lbuild/lbuild/diff/compress"
	"github.com/lbuild/lbuild/diff/difftest"
	"github.com/lbuild/lbuild/diff/layer"
	"github.com/moby/buildkit/util/overlay"
	storage "go.podman.io/storage/pkg/archive"
	"go.podman.io/storage/pkg/idtools"
)

// peer is a differ, and where it is from.
type peer struct {
	name   string
	how    string // what is called, for the page
	module string
	differ difftest.Differ
}

func peers() []peer {
	return []peer{
		{"lbuild", "`diff.Upper` and `layer.Write`", "github.com/lbuild/lbuild", lbuild},
		{
			"containerd", "the walking differ: `archive.WriteDiff` of the lower and the upper mount",
			"github.com/containerd/containerd/v2", walking,
		},
		{
			"continuity", "`fs.DiffDirChanges` and containerd's `archive.ChangeWriter`, as containerd's EROFS differ does",
			"github.com/containerd/continuity", diffDir,
		},
		{
			"BuildKit", "`overlay.WriteUpperdir`. Where it ends with an error, BuildKit goes on with containerd's walking differ",
			"github.com/moby/buildkit", buildkit,
		},
		{
			"containers/storage", "`archive.TarWithOptions` with overlay whiteouts, as buildah and podman commit on overlay",
			"go.podman.io/storage", podman,
		},
		{
			"containers/storage, naive", "containers/storage's `archive.ChangesDirs` and `ExportChanges`, which buildah and podman use where the " +
				"kernel has redirect_dir or metacopy on by default",
			"go.podman.io/storage", naive,
		},
	}
}

func lbuild(ctx context.Context, in difftest.Input, w io.Writer) error {
	changes := diff.Upper(ctx, diff.UpperOptions{Upper: in.Upper, Lower: in.Lower, UserXattr: in.UserXattr})
	_, err := layer.Write(ctx, w, changes, layer.Options{Compression: compress.Compression{Name: compress.None}})
	return err
}

// below are the mounts that show the lower directories, as containerd's snapshotters state them.
func below(in difftest.Input) []mount.Mount {
	if len(in.Lower) == 1 {
		return []mount.Mount{{Type: "bind", Source: in.Lower[0], Options: []string{"ro", "rbind"}}}
	}
	options := []string{"lowerdir=" + strings.Join(in.Lower, ":")}
	if in.UserXattr {
		options = append(options, "userxattr")
	}
	return []mount.Mount{{Type: "overlay", Source: "overlay", Options: options}}
}

func walking(ctx context.Context, in difftest.Input, w io.Writer) error {
	return mount.WithTempMount(ctx, below(in), func(lower string) error {
		return archive.WriteDiff(ctx, w, lower, in.Merged)
	})
}

func diffDir(ctx context.Context, in difftest.Input, w io.Writer) error {
	return mount.WithTempMount(ctx, below(in), func(lower string) error {
		cw := archive.NewChangeWriter(w, in.Upper)
		if err := fs.DiffDirChanges(ctx, lower, in.Upper, fs.DiffSourceOverlayFS, cw.HandleChange); err != nil {
			return err
		}
		return cw.Close()
	})
}

func buildkit(ctx context.Context, in difftest.Input, w io.Writer) error {
	return overlay.WriteUpperdir(ctx, w, in.Upper, below(in))
}

func podman(_ context.Context, in difftest.Input, w io.Writer) error {
	r, err := storage.TarWithOptions(in.Upper, &storage.TarOptions{
		Compression:    storage.Uncompressed,
		WhiteoutFormat: storage.OverlayWhiteoutFormat,
		WhiteoutData:   in.Lower,
	})
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	return errors.Join(err, r.Close())
}

func naive(ctx context.Context, in difftest.Input, w io.Writer) error {
	return mount.WithTempMount(ctx, below(in), func(lower string) error {
		changes, err := storage.ChangesDirs(in.Merged, &idtools.IDMappings{}, lower, &idtools.IDMappings{})
		if err != nil {
			return err
		}
		r, err := storage.ExportChanges(in.Merged, changes, nil, nil)
		if err != nil {
			return err
		}
		_, err = io.Copy(w, r)
		return errors.Join(err, r.Close())
	})
}

// version is that of a module in this program.
func version(module string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, dep := range info.Deps {
		if dep.Path == module && dep.Replace == nil {
			return dep.Version
		}
	}
	return "of this tree"
}
