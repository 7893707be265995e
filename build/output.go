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
	"strings"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"

	"github.com/lbuild/lbuild/build/internal/export"
	"github.com/lbuild/lbuild/build/internal/image"
	"github.com/lbuild/lbuild/build/internal/plan"
	"github.com/lbuild/lbuild/build/internal/remote"
	"github.com/lbuild/lbuild/build/internal/solve"
	"github.com/lbuild/lbuild/build/internal/source"
	"github.com/lbuild/lbuild/diff"
	"github.com/lbuild/lbuild/diff/compress"
	"github.com/lbuild/lbuild/diff/layer"
)

// exporters write one output each. A new type of output is a line here and a function.
var exporters = map[OutputType]func(*session, context.Context, Output, []*solve.Result, built) error{
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
func (r Request) outputs() []Output {
	if len(r.Outputs) == 0 {
		return []Output{{Type: OutputImage}}
	}
	return r.Outputs
}

func (s *session) outputs() []Output                         { return s.req.outputs() }
func (s *session) compressions() []compress.Compression      { return s.req.compressions() }
func (s *session) compression(o Output) compress.Compression { return s.req.compression(o) }

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
		if one := out.Type == OutputDocker || out.Type == OutputTar; one && len(s.req.platforms()) > 1 {
			return fmt.Errorf("output type=%s holds one platform, not %d", out.Type, len(s.req.platforms()))
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
func (s *session) export(ctx context.Context, results []*solve.Result, images map[compress.Compression]built) (*Result, error) {
	outputs := slices.Clone(s.outputs())
	slices.SortStableFunc(outputs, func(a, b Output) int { return cmp.Compare(a.rank(), b.rank()) })
	for _, out := range outputs {
		if err := exporters[out.Type](s, ctx, out, results, images[s.compression(out)]); err != nil {
			return nil, fmt.Errorf("output type=%s: %w", out.Type, err)
		}
	}
	return s.result(images)
}

// result describes what was built, in the request's own compression.
func (s *session) result(images map[compress.Compression]built) (*Result, error) {
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
		result.describe(images[list[0]])
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

func (s *session) exportImage(ctx context.Context, out Output, _ []*solve.Result, img built) error {
	names, err := s.names(out)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		names = []string{image.UntaggedName(img.target.Digest)}
	}
	for _, name := range names {
		if err := image.SetName(ctx, s.store.Images(), name, img.target); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) exportOCI(ctx context.Context, out Output, _ []*solve.Result, img built) error {
	names, err := s.names(out)
	if err != nil {
		return err
	}
	exported := export.Image{Manifest: img.target, Names: names}
	if out.Dir {
		return export.OCIDir(ctx, s.store.Content(), out.Dest, exported)
	}
	return out.write(func(w io.Writer) error { return export.OCI(ctx, s.store.Content(), w, exported) })
}

func (s *session) exportDocker(ctx context.Context, out Output, _ []*solve.Result, img built) error {
	names, err := s.names(out)
	if err != nil {
		return err
	}
	return out.write(func(w io.Writer) error {
		return export.Docker(ctx, s.store.Content(), w, []export.Image{{Manifest: img.target, Names: names}})
	})
}

func (s *session) exportRegistry(ctx context.Context, out Output, _ []*solve.Result, img built) error {
	names, err := s.names(out)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := s.pushTo(name, s.compression(out)).finish(ctx, img.target); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) exportLocal(ctx context.Context, out Output, results []*solve.Result, _ built) error {
	for i := range s.graph.Images {
		img, dest := &s.graph.Images[i], out.Dest
		if len(s.graph.Images) > 1 {
			dest = filepath.Join(dest, strings.ReplaceAll(platforms.Format(img.Platform), "/", "_"))
		}
		err := s.withTree(ctx, img, results, func(dir string) error { return copyTree(ctx, dir, dest) })
		if err != nil {
			return err
		}
	}
	return nil
}

// withTree runs fn on the mounted files of an image.
func (s *session) withTree(ctx context.Context, img *plan.Image, results []*solve.Result, fn func(dir string) error) error {
	name := ""
	if img.Top != nil {
		var err error
		if name, err = results[img.Top.ID].Tree(ctx); err != nil {
			return err
		}
	}
	view, err := s.store.View(ctx, name)
	if err != nil {
		return err
	}
	return errors.Join(fn(view.Dir()), view.Close())
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

func (s *session) exportTar(ctx context.Context, out Output, results []*solve.Result, _ built) error {
	return s.withTree(ctx, &s.graph.Images[0], results, func(dir string) error {
		return out.write(func(w io.Writer) error {
			files := diff.Upper(ctx, diff.UpperOptions{Upper: dir})
			_, err := layer.Write(ctx, w, files, layer.Options{Compression: compress.Compression{Name: "none"}, Epoch: s.req.Epoch})
			return err
		})
	})
}

// write sends what fn writes to the output's writer or file. A file appears whole or not at all.
func (o Output) write(fn func(io.Writer) error) error {
	if o.Writer != nil {
		return fn(o.Writer)
	}
	return export.File(o.Dest, fn)
}
