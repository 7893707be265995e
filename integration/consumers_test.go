package integration

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	ctrimages "github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/images/archive"
	layers "github.com/containerd/containerd/v2/pkg/archive"
	"github.com/containerd/containerd/v2/pkg/archive/compression"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"
)

// everything is a build of two stages whose layers hold each kind of file and of change.
const everything = `
-- Buildfile --
FROM base AS compiler
COPY src /src
RUN mkdir /out && cat /src/* > /out/program && chmod 4755 /out/program && ln /out/program /out/alias

FROM base
RUN mkdir -p /data/old/deep && echo 1 > /data/old/deep/file && echo 2 > /data/gone && echo 3 > /data/kept && echo 4 > /swap
COPY --from=compiler --chown=app:app /out/ /opt/
RUN rm /data/gone && rm -r /data/old && mkdir /data/old && echo new > /data/old/new
RUN ln -s ../data/kept /opt/soft && ln /data/kept /opt/hard && mkfifo -m 600 /opt/pipe && mknod -m 640 /opt/device c 1 3
RUN rm /swap && mkdir -m 1777 /swap && chown 12345:70000 /swap && touch "/swap/a name with spaces" /swap/ünïcode
RUN chmod 700 /data && chown app /data/kept && ln /opt/program /opt/zlink
COPY capable /opt/
WORKDIR /opt
ENV NAME=value
USER app:app
CMD ["/opt/program"]
-- src/a --
a
-- src/b --
b
-- capable --
#!/bin/sh
`

// everyOutput is where the tests below find one image in every form. Its names are app:1 and example.com/team/app:two.
var everyOutput = []string{
	"-t", "app:1", "-t", "example.com/team/app:two", "-o", "type=oci,dest=app.oci", "-o", "type=oci,tar=false,dest=app-dir",
	"-o", "type=docker,dest=app.docker", "-o", "type=local,dest=tree",
}

// TestOthersReadImages builds everything in each compression and hands the image to programs and libraries that are not
// lbuild's.
func TestOthersReadImages(t *testing.T) {
	for _, compression := range []string{"gzip", "zstd", "none"} {
		t.Run(compression, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			digest := l.mustBuild(l.everything(), append(everyOutput, "-q", "--compression", compression)...)
			l.checkTree()
			for _, consumer := range []struct {
				name  string
				reads func(t *testing.T, l *lab, compression, digest string)
			}{
				{"skopeo", skopeoCopies},
				{"umoci", umociUnpacks},
				{"containerd", containerdApplies},
				{"go-containerregistry", goContainerregistryValidates},
			} {
				t.Run(consumer.name, func(t *testing.T) {
					inner := *l
					inner.TB = t
					consumer.reads(t, &inner, compression, digest)
				})
			}
		})
	}
}

// everything is the context of that name, with extended attributes on a file.
func (l *lab) everything() string {
	l.Helper()
	dir := l.context(everything)
	file := filepath.Join(dir, "capable")
	capability := []byte{1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0} // cap_net_bind_service, effective
	err := errors.Join(
		unix.Setxattr(file, "security.capability", capability, 0),
		unix.Setxattr(file, "user.note", []byte("two\x00bytes"), 0),
	)
	if err != nil {
		l.Fatal(err)
	}
	return dir
}

func skopeoCopies(t *testing.T, l *lab, compression, digest string) {
	l.need("skopeo")
	addr := l.registry()
	inspect := func(ref string) (info struct {
		Digest string
		Layers []string
		Env    []string
	},
	) {
		t.Helper()
		out := l.must("skopeo", "inspect", "--tls-verify=false", ref)
		if err := json.Unmarshal([]byte(out), &info); err != nil {
			t.Fatal(err)
		}
		return info
	}
	want := inspect("oci:app-dir:1")
	if want.Digest != digest || want.Env[len(want.Env)-1] != "NAME=value" {
		t.Errorf("inspect gives %+v, want the digest %s", want, digest)
	}
	for _, test := range []struct{ from, to string }{
		{"oci:app-dir:two", "oci-archive:copy.oci:x"},
		{"oci-archive:app.oci:1", "oci:copy-dir:x"},
		{"oci-archive:app.oci:two", "docker://" + addr + "/copy:x"},
	} {
		l.must("skopeo", "copy", "--insecure-policy", "--preserve-digests", "--dest-tls-verify=false", test.from, test.to)
		if diff := cmp.Diff(want, inspect(test.to)); diff != "" {
			t.Errorf("%s copied to %s (-want +got):\n%s", test.from, test.to, diff)
		}
	}
	// Other formats have other manifests; what is in the layers stays.
	wantIDs := l.layoutImage("app-dir").config.RootFS.DiffIDs
	copied := map[string]string{
		"docker-archive:app.docker:app:1":                    "oci:copy1:x",
		"docker-archive:app.docker:example.com/team/app:two": "oci:copy2:x",
	}
	if compression != "zstd" { // which skopeo does not put into docker's manifests
		l.must("skopeo", "copy", "--insecure-policy", "oci:app-dir:1", "docker-archive:copy.docker:copy:1")
		copied["docker-archive:copy.docker:copy:1"] = "oci:copy3:x"
	}
	for from, to := range copied {
		l.must("skopeo", "copy", "--insecure-policy", from, to)
		dir := strings.Split(to, ":")[1]
		if diff := cmp.Diff(wantIDs, l.layoutImage(dir).config.RootFS.DiffIDs); diff != "" {
			t.Errorf("diff-ids of %s (-want +got):\n%s", from, diff)
		}
	}
}

func umociUnpacks(t *testing.T, l *lab, compression, _ string) {
	l.need("umoci")
	if compression == "zstd" {
		return // umoci before 0.5 knows no zstd
	}
	l.must("umoci", "unpack", "--image", "app-dir:1", "bundle")
	if diff := cmp.Diff(l.describe("tree"), l.describe("bundle/rootfs")); diff != "" {
		t.Errorf("-o type=local and umoci (-local +umoci):\n%s", diff)
	}
}

func containerdApplies(t *testing.T, l *lab, _, digest string) {
	for file, names := range map[string][]string{
		"app.oci": {"docker.io/library/app:1", "example.com/team/app:two"}, "app.docker": {"docker.io/library/app:1", "example.com/team/app:two"},
	} {
		store, err := local.NewStore(filepath.Join(l.dir, file+".content"))
		if err != nil {
			t.Fatal(err)
		}
		index := l.importArchive(store, file)
		var got []string
		for _, entry := range index.Manifests {
			got = append(got, entry.Annotations[ctrimages.AnnotationImageName])
			if entry.Digest.String() != digest {
				t.Errorf("%s: %s is %s, want %s", file, got, entry.Digest, digest)
			}
		}
		if diff := cmp.Diff(names, got); diff != "" {
			t.Errorf("%s: names (-want +got):\n%s", file, diff)
		}
		dir := file + ".tree"
		l.applyImage(store, index.Manifests[0], dir)
		if diff := cmp.Diff(l.describe("tree"), l.describe(dir)); diff != "" {
			t.Errorf("-o type=local and %s by containerd (-local +containerd):\n%s", file, diff)
		}
	}
}

func (l *lab) importArchive(store content.Store, file string) (index ocispec.Index) {
	l.Helper()
	f, err := os.Open(filepath.Join(l.dir, file))
	if err != nil {
		l.Fatal(err)
	}
	defer f.Close()
	desc, err := archive.ImportIndex(l.Context(), store, f)
	if err != nil {
		l.Fatalf("import %s: %v", file, err)
	}
	l.readContent(store, desc, &index)
	return index
}

func (l *lab) readContent(store content.Store, desc ocispec.Descriptor, into any) {
	l.Helper()
	data, err := content.ReadBlob(l.Context(), store, desc)
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		l.Fatal(err)
	}
}

// applyImage unpacks the layers of an image one after the other with containerd's archive package.
func (l *lab) applyImage(store content.Store, desc ocispec.Descriptor, dir string) {
	l.Helper()
	var manifest ocispec.Manifest
	l.readContent(store, desc, &manifest)
	if err := os.Mkdir(filepath.Join(l.dir, dir), 0o755); err != nil {
		l.Fatal(err)
	}
	for _, layer := range manifest.Layers {
		if err := applyLayer(l.Context(), store, layer, filepath.Join(l.dir, dir)); err != nil {
			l.Fatalf("apply %s: %v", layer.Digest, err)
		}
	}
}

func applyLayer(ctx context.Context, store content.Store, layer ocispec.Descriptor, dir string) (err error) {
	blob, err := store.ReaderAt(ctx, layer)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, blob.Close()) }()
	plain, err := compression.DecompressStream(content.NewReader(blob))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, plain.Close()) }()
	_, err = layers.Apply(ctx, dir, plain)
	return err
}

func goContainerregistryValidates(t *testing.T, l *lab, compression, digest string) {
	index, err := layout.ImageIndexFromPath(filepath.Join(l.dir, "app-dir"))
	if err == nil {
		err = validate.Index(index, depth(compression)...)
	}
	if err != nil {
		t.Errorf("layout: %v", err)
	}

	pushed := l.registry() + "/app:1"
	l.mustBuild(l.everything(), "-q", "--compression", compression, "-t", pushed, "--push")
	fromRegistry, err := remote.Image(l.reference(pushed))
	if err != nil {
		t.Fatal(err)
	}
	l.checkImage("registry", fromRegistry, digest, depth(compression)...)

	for _, text := range []string{"app:1", "example.com/team/app:two"} {
		tag, err := name.NewTag(text)
		if err != nil {
			t.Fatal(err)
		}
		img, err := tarball.ImageFromPath(filepath.Join(l.dir, "app.docker"), &tag)
		if err != nil {
			t.Fatal(err)
		}
		l.checkImage("docker archive, "+text, img, "", depth(compression)...)
		got, err := img.ConfigName()
		if want := l.layoutImage("app-dir").manifest.Config.Digest.String(); got.String() != want {
			t.Errorf("docker archive: the config is %s, want %s, %v", got, want, err)
		}
	}
}

// depth is how far validation goes: go-containerregistry only unpacks gzip. Other layers are unpacked by the tests of the
// schema.
func depth(compression string) []validate.Option {
	if compression == "gzip" {
		return nil
	}
	return []validate.Option{validate.Fast}
}

func (l *lab) checkImage(where string, img v1.Image, digest string, opts ...validate.Option) {
	l.Helper()
	if err := validate.Image(img, opts...); err != nil {
		l.Errorf("%s: %v", where, err)
	}
	got, err := img.Digest()
	if err != nil {
		l.Fatal(err)
	}
	if digest != "" && got.String() != digest {
		l.Errorf("%s: the digest is %s, want %s", where, got, digest)
	}
}

// checkTree looks at the lines of the tree that matter most, so that two wrong trees are not taken for equal.
func (l *lab) checkTree() {
	l.Helper()
	tree := "\n" + l.describe("tree")
	for _, want := range []string{
		"\ndata drwx------ 0:0\n", "\ndata/old/new -rw-r--r-- 0:0 4 ", "\nopt/program urwxr-xr-x 1000:1000 ", "\nopt/pipe prw------- ",
		"\nopt/device Dcrw-r----- 0:0 1,3 ", "\nopt/soft Lrwxrwxrwx 0:0 -> ../data/kept ", "\nswap dtrwxrwxrwx 12345:70000\n",
		"\nswap/a name with spaces ", " same as opt/program\n", " user.note=\"two\\x00bytes\"", " security.capability=",
	} {
		if !strings.Contains(tree, want) {
			l.Errorf("the tree has no %q", want)
		}
	}
	for _, gone := range []string{"data/gone", "data/old/deep", "src", "out", "data/.wh.gone"} {
		if strings.Contains(tree, "\n"+gone+" ") {
			l.Errorf("the tree has %s", gone)
		}
	}
}
