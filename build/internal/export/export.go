// Package export writes an image to a file or directory in a given format, and reads images back from the same formats.
//
// The same image gives the same bytes: names in an archive are sorted, times are zero, owners and modes are fixed. Every
// blob is compared with its digest while it is copied, unless the store vouches for it.
package export

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"sort"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	ocispecs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/lbuild/lbuild/build/internal/image"
)

// Image is what is exported, and what loading an archive gives.
type Image struct {
	Manifest ocispec.Descriptor // of a manifest, or of an index whose manifests need not all be in the store
	Names    []string           // full references; may be empty
}

// OCI writes an OCI layout as a tar, with one entry in its index for each name.
func OCI(ctx context.Context, store content.Provider, w io.Writer, img Image) error {
	files, err := layout(ctx, store, []Image{img})
	if err != nil {
		return fmt.Errorf("oci archive: %w", err)
	}
	if err := writeTar(ctx, store, w, files); err != nil {
		return fmt.Errorf("oci archive: %w", err)
	}
	return nil
}

// Docker writes an archive that `docker load` takes, whether it reads the OCI layout as new ones do or manifest.json as
// old ones do. An index is loaded by old ones as its first manifest that is in the store.
func Docker(ctx context.Context, store content.Provider, w io.Writer, imgs []Image) error {
	files, err := layout(ctx, store, imgs)
	if err != nil {
		return fmt.Errorf("docker archive: %w", err)
	}
	manifest, err := dockerManifest(ctx, store, imgs)
	if err != nil {
		return fmt.Errorf("docker archive: %w", err)
	}
	if err := writeTar(ctx, store, w, append(files, manifest)); err != nil {
		return fmt.Errorf("docker archive: %w", err)
	}
	return nil
}

// file is one file of a layout: a blob of the store, or data that was made for it.
type file struct {
	name string // slash-separated
	blob ocispec.Descriptor
	data []byte // nil for a blob
}

func (f file) size() int64 {
	if f.data == nil {
		return f.blob.Size
	}
	return int64(len(f.data))
}

// layout returns the files of an OCI layout, without the directories.
func layout(ctx context.Context, store content.Provider, imgs []Image) ([]file, error) {
	files, err := blobFiles(ctx, store, imgs)
	if err != nil {
		return nil, err
	}
	var index ocispec.Index
	for _, img := range imgs {
		index.Manifests = append(index.Manifests, entries(img)...)
	}
	indexFile, err := indexJSON(index)
	if err != nil {
		return nil, err
	}
	version, err := jsonFile(ocispec.ImageLayoutFile, ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion})
	return append(files, version, indexFile), err
}

// blobFiles returns each blob of the images once.
func blobFiles(ctx context.Context, store content.Provider, imgs []Image) ([]file, error) {
	var roots []ocispec.Descriptor
	for _, img := range imgs {
		roots = append(roots, img.Manifest)
	}
	blobs, err := parts(ctx, store, roots...)
	if err != nil {
		return nil, err
	}
	files := make([]file, 0, len(blobs))
	for _, desc := range blobs {
		files = append(files, file{name: blobPath(desc), blob: desc})
	}
	return files, nil
}

func blobPath(desc ocispec.Descriptor) string {
	return path.Join(ocispec.ImageBlobsDir, desc.Digest.Algorithm().String(), desc.Digest.Encoded())
}

// entries returns what the index of a layout says about an image: one entry for each of its names, or a single one
// without. What else the caller's descriptor is annotated with stays out, so that it cannot change the bytes.
func entries(img Image) []ocispec.Descriptor {
	bare := ocispec.Descriptor{
		MediaType: img.Manifest.MediaType,
		Digest:    img.Manifest.Digest,
		Size:      img.Manifest.Size,
		Platform:  img.Manifest.Platform,
	}
	if len(img.Names) == 0 {
		return []ocispec.Descriptor{bare}
	}
	var all []ocispec.Descriptor
	for _, name := range img.Names {
		named := bare
		named.Annotations = map[string]string{
			images.AnnotationImageName: name,
			ocispec.AnnotationRefName:  refName(name),
		}
		all = append(all, named)
	}
	return all
}

// refName returns the tag of a full reference, or the reference itself when it has none.
func refName(name string) string {
	if named, err := reference.ParseNormalizedNamed(name); err == nil {
		if tagged, ok := reference.TagNameOnly(named).(reference.Tagged); ok {
			return tagged.Tag()
		}
	}
	return name
}

func indexJSON(index ocispec.Index) (file, error) {
	index.Versioned = ocispecs.Versioned{SchemaVersion: 2}
	index.MediaType = ocispec.MediaTypeImageIndex
	return jsonFile(ocispec.ImageIndexFile, index)
}

func jsonFile(name string, value any) (file, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return file{}, fmt.Errorf("%s: %w", name, err)
	}
	return file{name: name, data: data}, nil
}

// dockerEntry is an image in docker's manifest.json.
type dockerEntry struct {
	Config   string
	RepoTags []string
	Layers   []string
}

func dockerManifest(ctx context.Context, store content.Provider, imgs []Image) (file, error) {
	all := make([]dockerEntry, 0, len(imgs))
	for _, img := range imgs {
		manifest, err := firstManifest(ctx, store, img.Manifest)
		if err != nil {
			return file{}, err
		}
		entry := dockerEntry{Config: blobPath(manifest.Config), RepoTags: repoTags(img.Names), Layers: []string{}}
		for _, layer := range manifest.Layers {
			entry.Layers = append(entry.Layers, blobPath(layer))
		}
		all = append(all, entry)
	}
	return jsonFile("manifest.json", all)
}

// firstManifest reads the manifest that desc is, or the first in the index that desc is.
func firstManifest(ctx context.Context, store content.Provider, desc ocispec.Descriptor) (manifest ocispec.Manifest, err error) {
	desc, err = image.Manifest(ctx, store, desc, platforms.All, image.Options{Stored: true})
	if err == nil {
		err = image.ReadJSON(ctx, store, desc, &manifest)
	}
	return manifest, err
}

// repoTags writes names as docker does in manifest.json, where one with a digest has no place.
func repoTags(names []string) []string {
	tags := []string{}
	for _, name := range names {
		named, err := reference.ParseNormalizedNamed(name)
		if _, pinned := named.(reference.Digested); err == nil && !pinned {
			tags = append(tags, reference.FamiliarString(reference.TagNameOnly(named)))
		}
	}
	return tags
}

func byName(files []file) []file {
	sort.Slice(files, func(i, j int) bool { return files[i].name < files[j].name })
	return files
}
