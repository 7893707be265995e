package build

import (
	"io"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/lbuild/lbuild/diff"
	"github.com/lbuild/lbuild/diff/compress"
)

// Request says what to build. Its zero value builds Buildfile, Dockerfile or Containerfile of the current directory
// for this machine's platform, and puts the image without a name into the image store.
type Request struct {
	// Context is the directory that COPY and ADD read; "" is the current directory.
	Context string
	// ContextTar, when not nil, is read as a tar archive, plain or compressed, and used instead of Context.
	ContextTar io.Reader

	// Buildfile is the path as the user typed it, and its name in errors. "" finds one in the context. With ContextTar
	// it is a path inside the archive.
	Buildfile string
	// BuildfileText, when not nil, is used instead of reading Buildfile.
	BuildfileText []byte

	Target    string             // stage by name or number; "": the last
	Args      map[string]string  // --build-arg; proxy variables reach RUN, and no key and no history unless an ARG declares them
	Labels    map[string]string  // added to the image's config after all LABELs
	Platforms []ocispec.Platform // none: this machine's; several give an index, with an image for each
	Contexts  map[string]string  // --build-context NAME to directory, oci-layout://, docker-archive:// or docker-image://

	NoCache       bool     // run every step again
	NoCacheStages []string // run the steps of these stages again
	Pull          bool     // ask the registry for every base, also for tags that the image store has

	Network string   // of RUN steps: "host" (also "" and "default") or "none"
	Hosts   []Host   // lines added to /etc/hosts of RUN steps
	ShmSize int64    // bytes of /dev/shm in RUN steps; 0: 64 MiB
	Ulimits []Ulimit // of RUN steps, each name once

	Tags        []string // names for the image, in docker's short or full form
	Outputs     []Output // none: the image store
	Compression compress.Compression
	Whiteouts   diff.Whiteouts
	Epoch       *time.Time // time of what COPY and ADD take from a context; no other time in layers, config and history is later
	Verify      bool       // unpack each layer that is packed, and fail unless that gives the step's tree

	// Events is called for everything that happens, one call at a time, in order; nil drops the events.
	// It must return soon: the build waits for it.
	Events func(Event)
}

// Host is a line of /etc/hosts.
type Host struct{ Name, IP string }

// Ulimit is a limit of a process, named as in docker, such as nofile; -1 is no limit.
type Ulimit struct {
	Name       string
	Soft, Hard int64
}

// OutputType names what an Output writes, as in --output type=….
type OutputType string

// The types of outputs.
const (
	OutputImage    OutputType = "image"    // the image store
	OutputOCI      OutputType = "oci"      // an OCI layout, as a tar or a directory
	OutputDocker   OutputType = "docker"   // an archive for docker load
	OutputLocal    OutputType = "local"    // the files of the image in a directory
	OutputTar      OutputType = "tar"      // the files of the image in a tar
	OutputRegistry OutputType = "registry" // pushed
)

// Output is one result of a build.
type Output struct {
	Type   OutputType
	Dest   string    // file or directory; not used by image and registry
	Writer io.Writer // instead of Dest, for oci, docker and tar
	Dir    bool      // oci: Dest is a directory, not a tar
	Names  []string  // instead of Request.Tags, for registry, oci, docker and image

	// Compression, when not nil, is used instead of Request.Compression.
	Compression *compress.Compression
	// ForceCompression also packs the layers of the base anew.
	ForceCompression bool
}
