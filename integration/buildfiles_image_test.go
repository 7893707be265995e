package integration

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/containerd/v2/pkg/archive"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// describe reads the two outputs of a build, which must hold the same tree.
func (c *buildCase) describe(l *lab) map[string]string {
	l.Helper()
	img := l.ociImage(filepath.Join(l.dir, "image"))
	if err := validate.Image(img); err != nil {
		l.Errorf("the image is not valid: %v", err)
	}
	layers := must(img.Layers())(l)
	files := l.unpacked(layers)
	if diff := cmp.Diff(l.tarFile("tree.tar"), files, cmpopts.EquateEmpty()); diff != "" {
		l.Errorf("the layers give another tree than type=tar: -tar +layers\n%s", diff)
	}
	history := must(img.ConfigFile())(l).History
	base := l.inherited(history)
	return map[string]string{
		"files":   pick(files, c.words("files")),
		"layers":  l.layerText(layers[base.layers:]),
		"config":  l.configText(must(img.RawConfigFile())(l), c.words("config")),
		"history": historyText(history[base.entries:]),
	}
}

// must unwraps the result of a call that should succeed.
func must[T any](value T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

// ociImage opens the only image of an OCI layout.
func (l *lab) ociImage(dir string) v1.Image {
	l.Helper()
	index := must(layout.ImageIndexFromPath(dir))(l)
	list := must(index.IndexManifest())(l).Manifests
	if len(list) != 1 {
		l.Fatalf("the layout has %d images, want one", len(list))
	}
	return must(index.Image(list[0].Digest))(l)
}

// heritage is what an image has from its base.
type heritage struct{ entries, layers int }

// inherited counts the entries of a history that are those of the tests' base image.
func (l *lab) inherited(history []v1.History) heritage {
	l.Helper()
	var h heritage
	base := must(l.ociImage(programs.base).ConfigFile())(l).History
	if len(base) > len(history) || !slices.Equal(base, history[:len(base)]) {
		return h
	}
	for _, e := range base {
		if h.entries++; !e.EmptyLayer {
			h.layers++
		}
	}
	return h
}

// unpacked applies the layers, as containerd does, and lists the tree that they give.
func (l *lab) unpacked(layers []v1.Layer) []entry {
	l.Helper()
	dir := filepath.Join(l.dir, "unpacked")
	if err := os.Mkdir(dir, 0o755); err != nil {
		l.Fatal(err)
	}
	for _, layer := range layers {
		r := must(layer.Uncompressed())(l)
		must(archive.Apply(context.Background(), dir, r))(l)
		if err := r.Close(); err != nil {
			l.Fatal(err)
		}
	}
	return l.treeEntries(dir)
}

// entry is a line of a listing and the path that it is about.
type entry struct{ Path, Line string }

// newEntry describes one entry of a tree or an archive.
func newEntry(h *tar.Header, content []byte) entry {
	name := path.Join("/", h.Name)
	kinds := map[byte]string{
		tar.TypeReg: "f", tar.TypeDir: "d", tar.TypeSymlink: "l", tar.TypeLink: "h", tar.TypeFifo: "p", tar.TypeChar: "c", tar.TypeBlock: "b",
	}
	line := fmt.Sprintf("%s %04o %d:%d %s", kinds[h.Typeflag], h.Mode&0o7777, h.Uid, h.Gid, name)
	switch h.Typeflag {
	case tar.TypeReg:
		line += " " + contentText(content)
	case tar.TypeSymlink:
		line += " -> " + h.Linkname
	case tar.TypeLink:
		line += " = " + path.Join("/", h.Linkname)
	case tar.TypeChar, tar.TypeBlock:
		line += fmt.Sprintf(" %d:%d", h.Devmajor, h.Devminor)
	}
	for _, key := range slices.Sorted(maps.Keys(h.PAXRecords)) {
		if name, ok := strings.CutPrefix(key, "SCHILY.xattr."); ok {
			line += fmt.Sprintf(" %s=%q", name, h.PAXRecords[key])
		}
	}
	return entry{name, line}
}

// contentText is short content as a Go string, and the size and digest of what is longer.
func contentText(data []byte) string {
	const short = 400 // bytes
	if len(data) <= short {
		return fmt.Sprintf("%q", data)
	}
	return fmt.Sprintf("%d bytes sha256:%x", len(data), sha256.Sum256(data))
}

// tarFile lists an archive in the lab's directory, without its root.
func (l *lab) tarFile(name string) []entry {
	l.Helper()
	f := must(os.Open(filepath.Join(l.dir, name)))(l)
	defer f.Close()
	return slices.DeleteFunc(l.tarEntries(f), func(e entry) bool { return e.Path == "/" })
}

func (l *lab) tarEntries(r io.Reader) []entry {
	l.Helper()
	var list []entry
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return list
		}
		if err != nil {
			l.Fatal(err)
		}
		list = append(list, newEntry(h, must(io.ReadAll(tr))(l)))
	}
}

// treeEntries lists what lies below a directory. Of the names of one file all but the first are links to that.
func (l *lab) treeEntries(dir string) []entry {
	l.Helper()
	var list []entry
	first := map[uint64]string{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		target, _ := os.Readlink(name) // "" for what is no link
		h, err := tar.FileInfoHeader(info, target)
		if err != nil {
			return err
		}
		h.Name = strings.TrimPrefix(name, dir)
		var content []byte
		if st := info.Sys().(*syscall.Stat_t); st.Nlink > 1 && !d.IsDir() {
			if link, ok := first[st.Ino]; ok {
				h.Typeflag, h.Linkname = tar.TypeLink, link
			} else {
				first[st.Ino] = h.Name
			}
		}
		if h.Typeflag == tar.TypeReg {
			content, err = os.ReadFile(name)
		}
		list = append(list, newEntry(h, content))
		return err
	})
	if err != nil {
		l.Fatal(err)
	}
	return list
}

// pick gives the lines of the paths and of what lies below them; "-" marks a path that is not there.
func pick(files []entry, paths []string) string {
	var text strings.Builder
	for _, p := range paths {
		found := false
		for _, e := range files {
			if p == "/" || e.Path == p || strings.HasPrefix(e.Path, p+"/") {
				found = true
				fmt.Fprintln(&text, e.Line)
			}
		}
		if !found {
			fmt.Fprintln(&text, "-", p)
		}
	}
	return text.String()
}

// layerText lists the entries of layers.
func (l *lab) layerText(layers []v1.Layer) string {
	l.Helper()
	var text strings.Builder
	for i, layer := range layers {
		fmt.Fprintln(&text, "layer", i+1)
		r := must(layer.Uncompressed())(l)
		for _, e := range l.tarEntries(r) {
			fmt.Fprintln(&text, e.Line)
		}
		if err := r.Close(); err != nil {
			l.Fatal(err)
		}
	}
	return text.String()
}

// configText gives the values of keys in an image's config, as indented JSON; null is a key that is not there.
func (l *lab) configText(raw []byte, keys []string) string {
	l.Helper()
	var image map[string]any
	if err := json.Unmarshal(raw, &image); err != nil {
		l.Fatal(err)
	}
	config, _ := image["config"].(map[string]any)
	values := map[string]any{}
	for _, key := range keys {
		if values[key] = config[key]; strings.ToLower(key) == key { // author, os and the like stand outside of config
			values[key] = image[key]
		}
	}
	var text strings.Builder
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(values); err != nil {
		l.Fatal(err)
	}
	return text.String()
}

// historyText is a line for each entry: what made it, after "+", or "-" where it has no layer.
func historyText(history []v1.History) string {
	var text strings.Builder
	for _, h := range history {
		mark := "+"
		if h.EmptyLayer {
			mark = "-"
		}
		fmt.Fprintln(&text, mark, strings.ReplaceAll(h.CreatedBy, "\n", `\n`))
	}
	return text.String()
}
