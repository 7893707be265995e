package integration

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/opencontainers/go-digest"
	"golang.org/x/tools/txtar"
)

const goldenDir = "testdata/golden"

// goldens is testdata/golden/digests.json. Its bytes are a function of the builds, so its diff is what changed.
type goldens struct {
	Busybox digest.Digest                     `json:"busybox"` // the program in the base image
	Base    goldenImage                       `json:"base"`
	Builds  map[string]map[string]goldenImage `json:"builds"` // by the name of the build and that of the output
}

// goldenImage is an image as digests; those of layers from bottom to top.
type goldenImage struct {
	Manifest v1.Hash   `json:"manifest"`
	Config   v1.Hash   `json:"config"`
	DiffIDs  []v1.Hash `json:"diff_ids"`
	Blobs    []v1.Hash `json:"blobs"`
}

// TestGoldenBuildsKeepTheirBytes builds every testdata/golden/*.txtar and compares the digests of the images with those
// in digests.json, which -update writes.
//
// A case is written as those of TestBuildfiles are: flags, env, setup and need at its top, then the files of its context,
// whose directory base/, if any, is the context of the image first. Each is built in a store of its own, with an epoch.
// Whatever lies in the context has the time of the epoch, but in the cases times-*, whose setup gives other times. The
// images are the directories image* that the build writes; image is written without a flag too. Beside the image base
// there is no-path, which is base with a config that has no ENV.
func TestGoldenBuildsKeepTheirBytes(t *testing.T) {
	l := newLab(t)
	want := readGoldens(t)
	got := goldens{Busybox: l.busyboxDigest(), Base: l.goldenImage(programs.base), Builds: map[string]map[string]goldenImage{}}
	if !*updateGolden {
		want.checkBase(t, got)
	}
	noPath := l.baseWithoutEnv()
	files := must(filepath.Glob(filepath.Join(goldenDir, "*.txtar")))(t)
	images := make([]map[string]goldenImage, len(files))
	for i, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		got.Builds[name] = nil
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			images[i] = l.readCase(file).goldenImages(l, "--build-context", "no-path=oci-layout://"+noPath)
			if diff := cmp.Diff(want.Builds[name], images[i]); diff != "" && !*updateGolden {
				t.Errorf("other bytes: -want +got\n%s", diff)
			}
		})
	}
	for name := range want.Builds {
		if _, ok := got.Builds[name]; !ok && !*updateGolden {
			t.Errorf("%s has digests, but no file", name)
		}
	}
	t.Cleanup(func() { // when the cases are done
		for i, file := range files {
			got.Builds[strings.TrimSuffix(filepath.Base(file), ".txtar")] = images[i]
		}
		if *updateGolden && !t.Failed() {
			got.write(t)
		}
	})
}

func goldenFile() string { return filepath.Join(goldenDir, "digests.json") }

// readGoldens gives the zero value where the file is to be written.
func readGoldens(t testing.TB) goldens {
	t.Helper()
	var g goldens
	if *updateGolden {
		return g
	}
	if err := json.Unmarshal(must(os.ReadFile(goldenFile()))(t), &g); err != nil {
		t.Fatalf("%s: %v", goldenFile(), err)
	}
	return g
}

// write refuses to write only some of the builds, as after -run with one of them.
func (g goldens) write(t testing.TB) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(g.Builds)) {
		if g.Builds[name] == nil {
			t.Fatalf("-update needs all builds, and %s did not run", name)
		}
	}
	data := must(json.MarshalIndent(g, "", "  "))(t)
	if err := os.WriteFile(goldenFile(), append(data, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

// checkBase ends the test where the builds would differ only because what they start from does.
func (g goldens) checkBase(t testing.TB, got goldens) {
	t.Helper()
	if got.Busybox != g.Busybox {
		text := fmt.Sprintf("the goldens are for another busybox, %s: this one is %s", g.Busybox, got.Busybox)
		if strict {
			t.Fatal(text)
		}
		t.Skip(text)
	}
	if diff := cmp.Diff(g.Base, got.Base); diff != "" {
		t.Errorf("the base image has other bytes: -want +got\n%s", diff)
	}
}

func (l *lab) busyboxDigest() digest.Digest {
	l.Helper()
	return digest.FromBytes(must(os.ReadFile(must(exec.LookPath("busybox"))(l)))(l))
}

// baseWithoutEnv writes an OCI layout of the base image with a config that lbuild does not make.
func (l *lab) baseWithoutEnv() string {
	l.Helper()
	base := l.ociImage(programs.base)
	img := must(mutate.Config(base, v1.Config{Cmd: []string{"sh"}}))(l)
	dir := filepath.Join(l.dir, "no-path")
	if err := must(layout.Write(dir, empty.Index))(l).AppendImage(img); err != nil {
		l.Fatal(err)
	}
	return dir
}

// goldenImages builds the case and reads the images that it wrote, by the names of their directories.
func (c *buildCase) goldenImages(l *lab, args ...string) map[string]goldenImage {
	l.Helper()
	l.need(c.words("need")...)
	l.env = append([]string{fmt.Sprint("SOURCE_DATE_EPOCH=", epoch)}, c.words("env")...)
	dir := c.goldenContext(l)
	if first := filepath.Join(dir, "base"); l.exec("test", "-d", first).code == 0 {
		l.mustBuild(first, "-o", "type=oci,tar=false,dest=first")
		args = append(args, "--build-context", "first=oci-layout://"+filepath.Join(l.dir, "first"))
	}
	flags := strings.ReplaceAll(strings.Join(c.words("flags"), " "), "$CONTEXT", dir)
	if !strings.Contains(flags, "dest=image") {
		args = append(args, "-o", "type=oci,tar=false,dest=image")
	}
	l.mustBuild(dir, append(args, strings.Fields(flags)...)...)
	images := map[string]goldenImage{}
	for _, image := range must(filepath.Glob(filepath.Join(l.dir, "image*")))(l) {
		images[filepath.Base(image)] = l.goldenImage(image)
	}
	return images
}

// goldenContext writes the files of the case, with modes that come from no umask.
func (c *buildCase) goldenContext(l *lab) string {
	l.Helper()
	dir := l.context(string(txtar.Format(c.archive)))
	l.must("chmod", "-R", "u=rwX,go=rX", dir)
	l.setEpoch(dir)
	for _, cmd := range c.options["setup"] {
		l.must("sh", "-c", "umask 022 && cd "+dir+" && "+cmd)
	}
	if !strings.HasPrefix(filepath.Base(c.file), "times-") {
		l.setEpoch(dir)
	}
	return dir
}

// setEpoch gives all files below dir the time of the epoch.
func (l *lab) setEpoch(dir string) {
	l.Helper()
	l.must("find", dir, "-exec", "touch", "-h", "-d", fmt.Sprint("@", epoch), "{}", "+")
}

// goldenImage reads the only image of an OCI layout, and proves that its layers have the digests that it names.
func (l *lab) goldenImage(dir string) goldenImage {
	l.Helper()
	img := l.ociImage(dir)
	manifest := must(img.Manifest())(l)
	g := goldenImage{Manifest: must(img.Digest())(l), Config: manifest.Config.Digest, DiffIDs: must(img.ConfigFile())(l).RootFS.DiffIDs}
	for i, layer := range manifest.Layers {
		g.Blobs = append(g.Blobs, layer.Digest)
		file := blobFile(dir, digest.Digest(layer.Digest.String()))
		if digest.FromBytes(must(os.ReadFile(file))(l)).Encoded() != layer.Digest.Hex || l.diffID(file).String() != g.DiffIDs[i].String() {
			l.Errorf("%s: the bytes of layer %d are not what it says", filepath.Base(dir), i+1)
		}
	}
	return g
}
