package build

import (
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Result is what a build made.
type Result struct {
	Manifest ocispec.Descriptor // zero when only files were asked for
	Config   digest.Digest
	Names    []string // full references that the outputs gave the image
	Layers   []Layer  // bottom to top

	Packing Work // of the layers that this build packed itself
	Pushing Work // of blobs and manifests that the registries did not have
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
