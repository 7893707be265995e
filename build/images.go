package build

import (
	"context"
	"io"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/lbuild/lbuild/snapshot"
)

// ImageInfo is one name in the image store.
type ImageInfo struct {
	Name     string            `json:"name"` // full reference; "<none>@sha256:…"-like for images without a name
	Digest   digest.Digest     `json:"digest"`
	Config   digest.Digest     `json:"config"`
	Platform string            `json:"platform"`
	Created  time.Time         `json:"created"`
	Size     int64             `json:"size"` // bytes of the manifest, config and layer blobs
	Labels   map[string]string `json:"labels,omitempty"`
}

// HistoryEntry is one line of an image's history, newest first.
type HistoryEntry struct {
	Created    time.Time     `json:"created"`
	CreatedBy  string        `json:"created_by"`
	Comment    string        `json:"comment,omitempty"`
	Size       int64         `json:"size"` // bytes of the layer as stored; 0 for an empty one
	Digest     digest.Digest `json:"digest,omitempty"`
	DiffID     digest.Digest `json:"diff_id,omitempty"`
	EmptyLayer bool          `json:"empty_layer"`
}

// ImageDetail is all that inspect shows of an image.
type ImageDetail struct {
	Names    []string           `json:"names"`
	Manifest ocispec.Descriptor `json:"manifest"`
	Config   ocispec.Descriptor `json:"config"`
	Image    ocispec.Image      `json:"image"`
	Layers   []LayerDetail      `json:"layers"` // bottom to top
}

// LayerDetail is one layer of an image and where it lies.
type LayerDetail struct {
	CreatedBy string        `json:"created_by"`
	DiffID    digest.Digest `json:"diff_id"`
	Digest    digest.Digest `json:"digest"`
	MediaType string        `json:"media_type"`
	Size      int64         `json:"size"`
	ChainID   digest.Digest `json:"chain_id"`
	Parent    digest.Digest `json:"parent,omitempty"`    // chain-id
	Directory string        `json:"directory,omitempty"` // that holds it unpacked; "" when it is not unpacked
}

var (
	_ context.Context
	_ io.Writer
	_ *snapshot.Store
)
