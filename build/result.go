package build

import (
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Result is what a build made.
type Result struct {
	Manifest ocispec.Descriptor // of the only image, or the index of several; zero when only files were asked for
	Config   digest.Digest      // of the only image; "" for several
	Layers   []Layer            // of the only image, bottom to top
	Names    []string           // full references that the outputs gave the image

	Platforms []PlatformResult // one for each platform, in the order in which they were asked for

	Packing Work // of the layers that this build packed itself
	Pushing Work // of blobs and manifests that the registries did not have
}

// PlatformResult is the image for one platform.
type PlatformResult struct {
	Platform string
	Manifest ocispec.Descriptor
	Config   digest.Digest
	Layers   []Layer // bottom to top
}

// describe fills in what was built.
func (r *Result) describe(b built) {
	r.Manifest = b.target
	for _, img := range b.images {
		r.Platforms = append(r.Platforms, PlatformResult{platforms.Format(img.platform), img.manifest, img.config.Digest, img.layers})
	}
	if len(b.images) == 1 {
		r.Config, r.Layers = b.images[0].config.Digest, b.images[0].layers
	}
}

// Layer is one layer of a built image. Its JSON form is part of --metadata-file.
type Layer struct {
	Line             int           `json:"line,omitempty"` // 0 for layers of the base
	CreatedBy        string        `json:"created_by"`
	DiffID           digest.Digest `json:"diff_id"`
	Digest           digest.Digest `json:"digest"`
	MediaType        string        `json:"media_type"`
	Size             int64         `json:"size"`              // bytes as stored
	UncompressedSize int64         `json:"uncompressed_size"` // bytes of the tar; 0 where a base's was not unpacked here
	Cached           bool          `json:"cached"`
	Base             bool          `json:"base"`
	Seconds          float64       `json:"seconds"`                // the step
	PackSeconds      float64       `json:"pack_seconds,omitempty"` // walk, tar, compression and digests; of the base: decompression and compression
	Unchanged        int           `json:"unchanged,omitempty"`    // files that were copied up, not changed and left out
	UnchangedBytes   int64         `json:"unchanged_bytes,omitempty"`
	ReusedBytes      int64         `json:"reused_bytes,omitempty"` // of Size, that this build took from layers of the store and did not compress
}
