package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// schema is image-spec's JSON schema in Go. Its fields are what is in the files, not what a type of Go makes of it.
type schema struct {
	*lab
	layoutImage
}

type object = map[string]any

// TestImagesFollowTheSchema checks images of each kind against the rules of image-spec 1.1.
func TestImagesFollowTheSchema(t *testing.T) {
	for name, test := range map[string]struct {
		text    string
		flags   []string
		unnamed bool
	}{
		"gzip":           {text: everything},
		"zstd":           {text: everything, flags: []string{"--compression", "zstd"}},
		"none":           {text: everything, flags: []string{"--compression", "none"}},
		"forced":         {text: app, flags: []string{"-o", "type=oci,tar=false,dest=layout,compression=zstd,force-compression=true"}},
		"no name":        {text: app, unnamed: true},
		"epoch":          {text: everything, flags: []string{"--source-date-epoch", "1000000000"}},
		"no layer":       {text: "-- Buildfile --\nFROM scratch\nLABEL a=b\n"},
		"one empty step": {text: "-- Buildfile --\nFROM base\nRUN true\nLABEL a=b\n"},
		"platform":       {text: "-- Buildfile --\nFROM scratch\nCOPY Buildfile /\n", flags: []string{"--platform", "linux/arm/v7"}},
		"full config": {text: `
-- Buildfile --
FROM base
EXPOSE 80 53/udp
VOLUME /data /more
USER app
ENTRYPOINT ["/bin/sh", "-c"]
CMD ["true"]
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s CMD true
SHELL ["/bin/sh", "-ec"]
ONBUILD RUN true
MAINTAINER someone
LABEL org.example=1
ENV A=b C=
`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			args := append([]string{"-q"}, test.flags...)
			var names []string
			if !test.unnamed {
				names = []string{"app:1", "example.com/team/app:two"}
				args = append(args, "-t", names[0], "-t", names[1])
			}
			if !slices.Contains(test.flags, "-o") {
				args = append(args, "-o", "type=oci,tar=false,dest=layout")
			}
			digest := l.mustBuild(l.context(test.text), args...)
			s := schema{l, l.layoutImage("layout")}
			if got := s.desc.Digest.String(); got != digest {
				t.Errorf("the layout's digest is %s, that on stdout %s", got, digest)
			}
			s.checkLayout()
			s.checkIndex(len(names))
			s.checkManifest()
			s.checkConfig()
			s.checkLayers()
			s.checkHistory()
		})
	}
}

func (s schema) checkLayout() {
	s.Helper()
	var layout object
	s.decode(filepath.Join(s.path, "oci-layout"), &layout)
	if diff := cmp.Diff(object{"imageLayoutVersion": "1.0.0"}, layout); diff != "" {
		s.Errorf("oci-layout (-want +got):\n%s", diff)
	}
	// Nothing but what belongs there, and every blob is what its name says.
	entries, err := os.ReadDir(s.path)
	if err != nil {
		s.Fatal(err)
	}
	for _, entry := range entries {
		if !slices.Contains([]string{"blobs", "index.json", "oci-layout"}, entry.Name()) {
			s.Errorf("the layout has a file %s", entry.Name())
		}
	}
	blobs, err := filepath.Glob(filepath.Join(s.path, "blobs/*/*"))
	if err != nil {
		s.Fatal(err)
	}
	for _, file := range blobs {
		data, err := os.ReadFile(file)
		if got := digest.FromBytes(data); err != nil || got.Encoded() != filepath.Base(file) {
			s.Errorf("blob %s has the digest %s, %v", file, got, err)
		}
	}
}

func (s schema) checkIndex(names int) {
	s.Helper()
	var index object
	s.decode(filepath.Join(s.path, "index.json"), &index)
	s.checkKeys("index", index, "schemaVersion", "manifests", "mediaType?")
	if index["schemaVersion"] != 2.0 || index["mediaType"] != ocispec.MediaTypeImageIndex {
		s.Errorf("index: version %v, type %v", index["schemaVersion"], index["mediaType"])
	}
	manifests := index["manifests"].([]any)
	if len(manifests) != max(names, 1) {
		s.Errorf("the index has %d entries, want one for each of %d names", len(manifests), names)
	}
	var annotations []any
	for i, entry := range manifests {
		where := fmt.Sprint("index entry ", i)
		s.checkDescriptor(where, entry, ocispec.MediaTypeImageManifest, "platform", "annotations?")
		platform := entry.(object)["platform"].(object)
		s.checkKeys(where+" platform", platform, "architecture", "os", "variant?")
		if platform["architecture"] != s.config.Architecture || platform["os"] != s.config.OS {
			s.Errorf("%s has the platform %v, the config another", where, platform)
		}
		annotations = append(annotations, entry.(object)["annotations"])
	}
	want := []any{nil}
	if names > 0 {
		want = []any{
			object{"io.containerd.image.name": "docker.io/library/app:1", "org.opencontainers.image.ref.name": "1"},
			object{"io.containerd.image.name": "example.com/team/app:two", "org.opencontainers.image.ref.name": "two"},
		}
	}
	got, _ := json.Marshal(annotations)
	if wanted, _ := json.Marshal(want); string(got) != string(wanted) {
		s.Errorf("the entries have the annotations %s, want %s", got, wanted)
	}
}

func (s schema) checkManifest() {
	s.Helper()
	var manifest object
	s.decode(blobFile(s.path, s.desc.Digest), &manifest)
	s.checkKeys("manifest", manifest, "schemaVersion", "mediaType", "config", "layers", "annotations?")
	if manifest["schemaVersion"] != 2.0 || manifest["mediaType"] != ocispec.MediaTypeImageManifest {
		s.Errorf("manifest: version %v, type %v", manifest["schemaVersion"], manifest["mediaType"])
	}
	s.checkDescriptor("config", manifest["config"], ocispec.MediaTypeImageConfig)
	layers, _ := manifest["layers"].([]any)
	if len(layers) == 0 {
		s.Error("the manifest has no layers: image-spec wants one at least")
	}
	for i, layer := range layers {
		mediaType, _ := layer.(object)["mediaType"].(string)
		if !slices.Contains([]string{ocispec.MediaTypeImageLayer, ocispec.MediaTypeImageLayerGzip, ocispec.MediaTypeImageLayerZstd}, mediaType) {
			s.Errorf("layer %d has the media type %q", i, mediaType)
		}
		s.checkDescriptor(fmt.Sprint("layer ", i), layer, mediaType)
	}
}

var digestForm = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// checkDescriptor wants the three fields of a content descriptor, and that the blob is there with this size.
func (s schema) checkDescriptor(where string, value any, mediaType string, more ...string) {
	s.Helper()
	desc, ok := value.(object)
	if !ok {
		s.Errorf("%s is no object but %v", where, value)
		return
	}
	s.checkKeys(where, desc, append(more, "mediaType", "digest", "size")...)
	text, _ := desc["digest"].(string)
	if desc["mediaType"] != mediaType || !digestForm.MatchString(text) {
		s.Errorf("%s has the type %v and the digest %v", where, desc["mediaType"], desc["digest"])
		return
	}
	info, err := os.Stat(blobFile(s.path, digest.Digest(text)))
	if err != nil {
		s.Errorf("%s: %v", where, err)
		return
	}
	if size, ok := desc["size"].(float64); !ok || int64(size) != info.Size() {
		s.Errorf("%s says %v bytes, the blob has %d", where, desc["size"], info.Size())
	}
}

// checkKeys wants these keys and no others; those with a question mark may be missing.
func (s schema) checkKeys(where string, got object, keys ...string) {
	s.Helper()
	known := map[string]bool{}
	for _, key := range keys {
		name, optional := strings.CutSuffix(key, "?")
		known[name] = true
		if _, ok := got[name]; !ok && !optional {
			s.Errorf("%s has no %s", where, name)
		}
	}
	for key, value := range got {
		if !known[key] {
			s.Errorf("%s has an unknown %s", where, key)
		}
		if value == nil {
			s.Errorf("%s has a null %s", where, key)
		}
	}
}

func (s schema) checkConfig() {
	s.Helper()
	var config object
	s.decode(blobFile(s.path, s.manifest.Config.Digest), &config)
	s.checkKeys("config", config, "architecture", "os", "rootfs", "config", "history", "variant?", "created?", "author?")
	rootfs, _ := config["rootfs"].(object)
	s.checkKeys("rootfs", rootfs, "type", "diff_ids")
	if rootfs["type"] != "layers" {
		s.Errorf("rootfs has the type %v", rootfs["type"])
	}
	for i, id := range rootfs["diff_ids"].([]any) {
		if !digestForm.MatchString(id.(string)) {
			s.Errorf("diff-id %d is %v", i, id)
		}
	}
	if created, ok := config["created"]; ok {
		s.checkTime("created", created)
	}
	// The last five are docker's.
	s.checkKeys("config.config", config["config"].(object), "User?", "ExposedPorts?", "Env?", "Entrypoint?", "Cmd?", "Volumes?",
		"WorkingDir?", "Labels?", "StopSignal?", "ArgsEscaped?", "Healthcheck?", "Shell?", "OnBuild?", "Memory?", "CpuShares?")
}

func (s schema) checkTime(where string, value any) {
	s.Helper()
	text, _ := value.(string)
	t, err := time.Parse(time.RFC3339, text)
	if err != nil || t.Location() != time.UTC {
		s.Errorf("%s is %v, which is no RFC 3339 time in UTC: %v", where, value, err)
	}
}

// checkLayers unpacks and hashes each layer.
func (s schema) checkLayers() {
	s.Helper()
	var got []digest.Digest
	for _, layer := range s.manifest.Layers {
		got = append(got, s.diffID(blobFile(s.path, layer.Digest)))
	}
	if diff := cmp.Diff(s.config.RootFS.DiffIDs, got); diff != "" {
		s.Errorf("diff-ids (-config +layers):\n%s", diff)
	}
}

func (s schema) checkHistory() {
	s.Helper()
	var config struct{ History []object }
	s.decode(blobFile(s.path, s.manifest.Config.Digest), &config)
	layers := 0
	for i, entry := range config.History {
		where := fmt.Sprint("history ", i)
		s.checkKeys(where, entry, "created?", "author?", "created_by", "comment?", "empty_layer?")
		if created, ok := entry["created"]; ok {
			s.checkTime(where, created)
		}
		if entry["empty_layer"] != true {
			layers++
		}
	}
	if layers != len(s.manifest.Layers) {
		s.Errorf("%d entries of the history have a layer, the manifest has %d", layers, len(s.manifest.Layers))
	}
}

// The manifest says which image it was built on, as image-spec's annotations have it.
func TestManifestNamesItsBase(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	name := l.registry() + "/team/base:1"
	base := l.mustBuild(l.context(app), "-q", "-t", name, "--push")
	for from, want := range map[string]map[string]string{
		name: {ocispec.AnnotationBaseImageName: name, ocispec.AnnotationBaseImageDigest: base},
		strings.TrimSuffix(name, ":1") + "@" + base: {
			ocispec.AnnotationBaseImageName: strings.TrimSuffix(name, ":1") + "@" + base, ocispec.AnnotationBaseImageDigest: base,
		},
		"scratch": nil,
	} {
		dir := l.context("-- Buildfile --\nFROM " + name + " AS other\nFROM " + from + " AS first\nCOPY Buildfile /\nFROM first\nCOPY Buildfile /second\n")
		l.must("rm", "-rf", "layout")
		l.mustBuild(dir, "-q", "-o", "type=oci,tar=false,dest=layout")
		if diff := cmp.Diff(want, l.layoutImage("layout").manifest.Annotations); diff != "" {
			t.Errorf("FROM %s: annotations (-want +got):\n%s", from, diff)
		}
	}
}
