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

const (
	goldenDir  = "testdata/golden"
	goldenFile = goldenDir + "/digests.json"
)

// goldens is what goldenFile holds.
type goldens struct {
	Busybox digest.Digest                     `json:"busybox"` // the program in the base image
	Base    goldenImage                       `json:"base"`
	Builds  map[string]map[string]goldenImage `json:"builds"` // by the name of the build and that of the output
}

// goldenImage is an image as digests; those of layers from bottom to top.
type goldenImage struct {
	Manifest digest.Digest   `json:"manifest"`
	Config   digest.Digest   `json:"config"`
	DiffIDs  []digest.Digest `json:"diff_ids"`
	Blobs    []digest.Digest `json:"blobs"`
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
	t.Cleanup(func() { // when the cases are done
		if *updateGolden && !t.Failed() {
			got.write(t)
		}
	})
	noPath := l.baseWithoutEnv()
	for _, file := range must(filepath.Glob(filepath.Join(goldenDir, "*.txtar")))(t) {
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		images := map[string]goldenImage{}
		got.Builds[name] = images
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			maps.Copy(images, l.readCase(file).goldenImages(l, "--build-context", "no-path=oci-layout://"+noPath))
			if diff := cmp.Diff(want.Builds[name], images); diff != "" && !*updateGolden {
				t.Errorf("other bytes: -want +got\n%s", diff)
			}
		})
	}
	for name := range want.Builds {
		if _, ok := got.Builds[name]; !ok {
			t.Errorf("%s has digests, but no file", name)
		}
	}
}

// readGoldens gives the zero value where the file is to be written.
func readGoldens(t testing.TB) goldens {
	t.Helper()
	var g goldens
	if *updateGolden {
		return g
	}
	if err := json.Unmarshal(must(os.ReadFile(goldenFile))(t), &g); err != nil {
		t.Fatalf("%s: %v", goldenFile, err)
	}
	return g
}

// write, which runs in a cleanup, where Fatal is mute, refuses to write only some of the builds, as after -run with one of them.
func (g goldens) write(t testing.TB) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(g.Builds)) {
		if len(g.Builds[name]) == 0 {
			t.Errorf("%s is not written: -update needs all builds, and %s did not run", goldenFile, name)
			return
		}
	}
	data := must(json.MarshalIndent(g, "", "  "))(t)
	if err := os.WriteFile(goldenFile, append(data, '\n'), 0o644); err != nil {
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

// goldenImage reads an OCI layout, and proves that its bytes have the digests that it names.
func (l *lab) goldenImage(dir string) goldenImage {
	l.Helper()
	img := l.layoutImage(must(filepath.Rel(l.dir, dir))(l))
	g := goldenImage{Manifest: img.desc.Digest, Config: img.manifest.Config.Digest, DiffIDs: img.config.RootFS.DiffIDs}
	for i, layer := range img.manifest.Layers {
		g.Blobs = append(g.Blobs, layer.Digest)
		if got := l.diffID(blobFile(dir, layer.Digest)); got != g.DiffIDs[i] {
			l.Errorf("%s: layer %d has the diff-id %s, not %s", filepath.Base(dir), i+1, got, g.DiffIDs[i])
		}
	}
	for _, want := range append([]digest.Digest{g.Manifest, g.Config}, g.Blobs...) {
		if got := digest.FromBytes(must(os.ReadFile(blobFile(dir, want)))(l)); got != want {
			l.Errorf("%s: blob %s has the digest %s", filepath.Base(dir), want, got)
		}
	}
	return g
}
