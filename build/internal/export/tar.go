package export

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"path"

	"github.com/containerd/containerd/v2/core/content"
)

// writeTar writes files sorted by name, each directory before what is in it.
func writeTar(ctx context.Context, store content.Provider, w io.Writer, files []file) error {
	tw := tar.NewWriter(w)
	dirs := map[string]bool{".": true}
	for _, f := range byName(files) {
		if err := writeDirs(tw, path.Dir(f.name), dirs); err != nil {
			return err
		}
		header := &tar.Header{Typeflag: tar.TypeReg, Name: f.name, Mode: 0o644, Size: f.size()}
		if err := tw.WriteHeader(header); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		if err := f.copyTo(ctx, store, tw); err != nil {
			return err
		}
	}
	return tw.Close()
}

func writeDirs(tw *tar.Writer, dir string, done map[string]bool) error {
	if done[dir] {
		return nil
	}
	done[dir] = true
	if err := writeDirs(tw, path.Dir(dir), done); err != nil {
		return err
	}
	return tw.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755})
}

func (f file) copyTo(ctx context.Context, store content.Provider, w io.Writer) error {
	if f.data == nil {
		return copyBlob(ctx, store, w, f.blob)
	}
	if _, err := w.Write(f.data); err != nil {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	return nil
}
