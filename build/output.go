package build

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/distribution/reference"

	"github.com/lbuild/lbuild/build/internal/export"
	imagedata "github.com/lbuild/lbuild/build/internal/image"
	"github.com/lbuild/lbuild/build/internal/remote"
	"github.com/lbuild/lbuild/build/internal/source"
	"github.com/lbuild/lbuild/diff"
	"github.com/lbuild/lbuild/diff/compress"
	"github.com/lbuild/lbuild/diff/layer"
)

// exporters write one output each. A new type of output is a line here and a function.
var exporters = map[OutputType]func(*session, context.Context, Output, *stage, image) error{
	OutputImage:    (*session).exportImage,
	OutputOCI:      (*session).exportOCI,
	OutputDocker:   (*session).exportDocker,
	OutputRegistry: (*session).exportRegistry,
	OutputLocal:    (*session).exportLocal,
	OutputTar:      (*session).exportTar,
}

// isImage tells whether the output needs layers and a manifest.
func (o Output) isImage() bool { return o.Type != OutputLocal && o.Type != OutputTar }

// outputs are those of the request; without any, the image store.
func (s *session) outputs() []Output {
	if len(s.req.Outputs) == 0 {
		return []Output{{Type: OutputImage}}
	}
	return s.req.Outputs
}

func (s *session) wantsImage() bool {
	for _, out := range s.outputs() {
		if out.isImage() {
			return true
		}
	}
	return false
}

// checkOutputs refuses outputs that could not be written.
func (s *session) checkOutputs() error {
	for _, out := range s.outputs() {
		if exporters[out.Type] == nil {
			return fmt.Errorf("unknown output type %q", out.Type)
		}
		if toFile := out.Type != OutputImage && out.Type != OutputRegistry; toFile && out.Dest == "" && out.Writer == nil {
			return fmt.Errorf("output type=%s has no destination", out.Type)
		}
		if err := out.checkDest(); err != nil {
			return fmt.Errorf("output type=%s: %w", out.Type, err)
		}
		if out.Type == OutputRegistry && len(out.Names)+len(s.req.Tags) == 0 {
			return errors.New("output type=registry has no name to push to: give a tag or name=")
		}
		if _, err := s.names(out); err != nil {
			return err
		}
	}
	return nil
}

// checkDest finds out before the build what would make the output fail after it.
func (o Output) checkDest() error {
	if o.Dest == "" || o.Writer != nil {
		return nil
	}
	info, err := os.Stat(o.Dest)
	isDir := o.Dir || o.Type == OutputLocal
	switch {
	case err == nil && isDir && !info.IsDir():
		return fmt.Errorf("%s is not a directory", o.Dest)
	case err == nil && !isDir && info.IsDir():
		return fmt.Errorf("%s is a directory", o.Dest)
	case err == nil || isDir:
		return nil
	}
	if _, err := os.Stat(filepath.Dir(o.Dest)); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("directory %s does not exist", filepath.Dir(o.Dest))
	}
	return nil
}

// export writes all outputs, in order but the image store last, and describes what was built: where another output fails,
// the image has no name.
func (s *session) export(ctx context.Context, target *stage, images map[compress.Compression]image) (*Result, error) {
	outputs := slices.Clone(s.outputs())
	slices.SortStableFunc(outputs, func(a, b Output) int { return cmp.Compare(a.rank(), b.rank()) })
	for _, out := range outputs {
		if err := exporters[out.Type](s, ctx, out, target, images[s.compression(out)]); err != nil {
			return nil, fmt.Errorf("output type=%s: %w", out.Type, err)
		}
	}
	result := &Result{}
	for _, out := range s.outputs() {
		names, err := s.names(out)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if out.isImage() && !slices.Contains(result.Names, name) {
				result.Names = append(result.Names, name)
			}
		}
	}
	if list := s.compressions(); len(list) > 0 {
		img := images[list[0]]
		result.Manifest, result.Config, result.Layers = img.manifest, img.config.Digest, img.layers
	}
	result.Packing, result.Pushing = s.events.Work()
	if result.Manifest.Digest != "" {
		s.events.Emit(Event{Type: EventResult, Digest: string(result.Manifest.Digest), Packing: result.Packing, Pushing: result.Pushing})
	}
	return result, nil
}

// rank orders the outputs of a build.
func (o Output) rank() int {
	if o.Type == OutputImage {
		return 1
	}
	return 0
}

// names are the full references that an output gives the image.
func (s *session) names(out Output) ([]string, error) {
	tags := s.tags
	if len(out.Names) > 0 {
		tags = nil
		for _, name := range out.Names {
			named, err := remote.ParseReference(name)
			if err != nil {
				return nil, err
			}
			tags = append(tags, named)
		}
	}
	var names []string
	for _, tag := range tags {
		names = append(names, reference.TagNameOnly(tag).String())
	}
	return names, nil
}

func (s *session) exportImage(ctx context.Context, out Output, _ *stage, img image) error {
	names, err := s.names(out)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		names = []string{imagedata.UntaggedName(img.manifest.Digest)}
	}
	for _, name := range names {
		if err := imagedata.SetName(ctx, s.store.Images(), name, img.manifest); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) exportOCI(ctx context.Context, out Output, _ *stage, img image) error {
	names, err := s.names(out)
	if err != nil {
		return err
	}
	exported := export.Image{Manifest: img.manifest, Names: names}
	if out.Dir {
		return export.OCIDir(ctx, s.store.Content(), out.Dest, exported)
	}
	return out.write(func(w io.Writer) error { return export.OCI(ctx, s.store.Content(), w, exported) })
}

func (s *session) exportDocker(ctx context.Context, out Output, _ *stage, img image) error {
	names, err := s.names(out)
	if err != nil {
		return err
	}
	return out.write(func(w io.Writer) error {
		return export.Docker(ctx, s.store.Content(), w, []export.Image{{Manifest: img.manifest, Names: names}})
	})
}

func (s *session) exportRegistry(ctx context.Context, out Output, _ *stage, img image) error {
	names, err := s.names(out)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := s.pushTo(name, s.compression(out)).finish(ctx, img.manifest); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) exportLocal(ctx context.Context, out Output, target *stage, _ image) error {
	view, err := s.store.View(ctx, target.snapshot)
	if err != nil {
		return err
	}
	return errors.Join(copyTree(ctx, view.Dir(), out.Dest), view.Close())
}

// copyTree puts the files of a mounted root into dest, which is made if it is not there and keeps its owner and mode.
// What dest has besides stays; what is in the way of a file gives way. Nothing is written through a link that dest has.
func copyTree(ctx context.Context, dir, dest string) error {
	if err := os.MkdirAll(dest, 0o755); err != nil {
		return err
	}
	tree, err := source.Open(dir, source.Options{})
	if err != nil {
		return err
	}
	all, err := tree.Select(ctx, []string{"."})
	if err == nil {
		err = source.Copy(ctx, dest, all, ".", source.CopyOptions{Replace: true})
	}
	if err = errors.Join(err, tree.Close()); err != nil {
		return fmt.Errorf("files to %s: %w", dest, err)
	}
	return nil
}

func (s *session) exportTar(ctx context.Context, out Output, target *stage, _ image) error {
	view, err := s.store.View(ctx, target.snapshot)
	if err != nil {
		return err
	}
	err = out.write(func(w io.Writer) error {
		files := diff.Upper(ctx, diff.UpperOptions{Upper: view.Dir()})
		_, err := layer.Write(ctx, w, files, layer.Options{Compression: compress.Compression{Name: "none"}, Epoch: s.req.Epoch})
		return err
	})
	return errors.Join(err, view.Close())
}

// write sends what fn writes to the output's writer or file. A file appears whole or not at all.
func (o Output) write(fn func(io.Writer) error) error {
	if o.Writer != nil {
		return fn(o.Writer)
	}
	return export.File(o.Dest, fn)
}
