package integration

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

// spoilers do what may happen to a blob's file.
var spoilers = map[string]func(name string) error{
	"a flipped byte": func(name string) error {
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		data[len(data)/2] ^= 1
		return os.WriteFile(name, data, 0o600)
	},
	"a flipped byte and the old times": func(name string) error {
		info, err := os.Stat(name)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		data[len(data)/2] ^= 1
		if err := os.WriteFile(name, data, 0o600); err != nil {
			return err
		}
		return os.Chtimes(name, info.ModTime(), info.ModTime())
	},
	"cut short": func(name string) error { return os.Truncate(name, 10) },
	"emptied":   func(name string) error { return os.Truncate(name, 0) },
	"deleted":   os.Remove,
}

// TestDamagedBlobsAreMadeAgain damages every blob of an image: layers of the build and of its base, config and manifest.
func TestDamagedBlobsAreMadeAgain(t *testing.T) {
	for name, spoil := range spoilers {
		if !long && (name == "emptied" || name == "a flipped byte") {
			continue // the others show as much
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMeter(t)
			dir := m.context("-- Buildfile --\nFROM base\nCOPY a /a\nRUN seq 1 10000 >/c\n-- a --\na\n")
			first := m.mustMeasure(dir)
			for _, blob := range m.entries("content/blobs/sha256") {
				if err := spoil(filepath.Join(m.root, "content/blobs/sha256", blob)); err != nil {
					t.Fatal(err)
				}
				o := m.measure(dir, "-o", "type=oci,tar=false,dest=out-"+blob, "-o", "type=image")
				if o.code != 0 {
					t.Errorf("%s: status %d\n%s", blob, o.code, o.stderr)
					continue
				}
				if o.digest() != first.digest() || o.runs != 0 {
					t.Errorf("%s: the image is %s after %d runs, want %s after none", blob, o.digest(), o.runs, first.digest())
				}
				checkWhole(t, filepath.Join(m.dir, "out-"+blob))
			}
			m.checkStore(first.digest())
			m.checkResidue()
		})
	}
}

// checkStore fails the test unless the image that the store holds is whole.
func (m *meter) checkStore(digest string) {
	m.Helper()
	m.must(m.program, "--root", m.root, "tag", digest, "whole:1")
	m.must(m.program, "--root", m.root, "save", "-o", "whole.tar", "whole:1")
	m.need("skopeo")
	raw := m.must("skopeo", "inspect", "--raw", "oci-archive:whole.tar")
	var manifest struct{ Layers []any }
	if err := json.NewDecoder(bytes.NewReader([]byte(raw))).Decode(&manifest); err != nil || len(manifest.Layers) == 0 {
		m.Errorf("manifest %s: %v", raw, err)
	}
	m.must("skopeo", "copy", "-q", "oci-archive:whole.tar", "dir:whole")
}

func TestADamagedLayerIsNotSaved(t *testing.T) {
	t.Parallel()
	m := newMeter(t)
	m.need("skopeo")
	m.mustMeasure(m.context("-- Buildfile --\nFROM base\nRUN seq 1 10000 >/c\n"), "-t", "app:1")
	var image struct{ Layers []struct{ Digest string } }
	m.must(m.program, "--root", m.root, "save", "-o", "app.tar", "app:1")
	raw := m.must("skopeo", "inspect", "--raw", "oci-archive:app.tar")
	if err := json.Unmarshal([]byte(raw), &image); err != nil || len(image.Layers) < 2 {
		t.Fatalf("%d layers, want some: %v", len(image.Layers), err)
	}
	for _, layer := range image.Layers {
		file := filepath.Join(m.root, "content/blobs/sha256", strings.TrimPrefix(layer.Digest, "sha256:"))
		good, err := os.ReadFile(file)
		if err == nil {
			err = spoilers["a flipped byte and the old times"](file)
		}
		if err != nil {
			t.Fatal(err)
		}
		o := m.exec(m.program, "--root", m.root, "save", "-o", "bad.tar", "app:1")
		if _, err := os.Stat(filepath.Join(m.dir, "bad.tar")); o.code != 1 || err == nil {
			t.Errorf("%s: status %d, the file: %v\n%s", layer.Digest, o.code, err, o.stderr)
		}
		if err := os.WriteFile(file, good, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m.must(m.program, "--root", m.root, "save", "-o", "app.tar", "app:1")
}

func TestDamagedBaseIsReadAgain(t *testing.T) {
	t.Parallel()
	m := newMeter(t)
	dir := m.context("-- Buildfile --\nFROM base\nRUN echo x >/c\n")
	before := m.context("-- Buildfile --\nFROM base\n")
	m.mustMeasure(before) // only the base's blobs are there
	for _, blob := range m.entries("content/blobs/sha256") {
		if err := spoilers["a flipped byte"](filepath.Join(m.root, "content/blobs/sha256", blob)); err != nil {
			t.Fatal(err)
		}
	}
	o := m.mustMeasure(dir, "-o", "type=oci,tar=false,dest=out")
	checkWhole(t, filepath.Join(m.dir, "out"))
	fresh := newMeter(t)
	want := fresh.mustMeasure(dir, "--source-date-epoch", "1", "-o", "type=local,dest=tree")
	got := m.mustMeasure(dir, "--source-date-epoch", "1", "-o", "type=local,dest=tree")
	if diff := gocmp.Diff(want.code, got.code); diff != "" || o.runs != 1 {
		t.Errorf("%d runs; %s", o.runs, diff)
	}
	m.must("diff", "-r", "--no-dereference", filepath.Join(m.dir, "tree"), filepath.Join(fresh.dir, "tree"))
}

func TestDamagedImageOfARegistryIsFetchedAgain(t *testing.T) {
	t.Parallel()
	m := newMeter(t)
	name := m.registry() + "/base:1"
	m.need("skopeo")
	m.must("skopeo", "copy", "-q", "--dest-tls-verify=false", "oci:"+programs.base+":latest", "docker://"+name)
	dir := m.context("-- Buildfile --\nFROM " + name + "\nRUN echo x >/c\n")
	first := m.mustMeasure(dir)
	for _, blob := range m.entries("content/blobs/sha256") {
		if err := spoilers["a flipped byte"](filepath.Join(m.root, "content/blobs/sha256", blob)); err != nil {
			t.Fatal(err)
		}
		o := m.measure(dir, "-o", "type=oci,tar=false,dest=out-"+blob)
		if o.code != 0 || o.digest() != first.digest() || o.runs != 0 {
			t.Errorf("%s: status %d, image %s after %d runs, want %s after none\n%s", blob, o.code, o.digest(), o.runs, first.digest(), o.stderr)
			continue
		}
		checkWhole(t, filepath.Join(m.dir, "out-"+blob))
	}
	m.checkResidue()
}
