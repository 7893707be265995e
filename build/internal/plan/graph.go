package plan

import (
	"strconv"
	"time"

	"github.com/moby/buildkit/frontend/dockerfile/parser"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/lbuild/lbuild/build/buildfile"
)

// Graph is what a build does. It never changes once it is compiled.
type Graph struct {
	Nodes    []*Node // each after those that it stands on and reads
	Images   []Image // one for each platform, in the order in which they were asked for
	Warnings []buildfile.Warning
}

// Node is an op in its place.
type Node struct {
	ID      int // index in Graph.Nodes
	Op      Op
	Below   *Node // whose tree it changes; nil: the empty tree, or none for a *Base
	Reads   []Source
	NoCache bool   // is to run whatever is recorded
	Steps   []Step // the instructions that it is, at least one but for a *Base: equal ones of several stages are one node
}

// Line is where the first instruction stands; 0 for none.
func (n *Node) Line() int {
	if len(n.Steps) == 0 {
		return 0
	}
	return n.Steps[0].Line
}

// Step is an instruction that makes a node, as people know it.
type Step struct {
	ID       string // unique in a build: "builder 2/5", "2/5" where the only stage has no name, with several platforms behind one; where those differ "linux/amd64 builder 2/5 for linux/arm64"
	Stage    string
	Platform string // "" in a build for one platform
	Line     int
	Name     string // the instruction as it stands there
	Location []parser.Range
}

// SourceKind says what a Source is.
type SourceKind string

// The kinds of a Source.
const (
	FromContext   SourceKind = "context"   // the build context
	FromDirectory SourceKind = "directory" // a named context
	FromNode      SourceKind = "node"      // the tree of a node; of the empty tree where that is nil
)

// Source is a tree that a node reads.
type Source struct {
	Kind SourceKind
	Name string // of a named context
	Node *Node
}

func (s Source) identity() string {
	return string(NewKey("source", string(s.Kind), s.Name, nodeID(s.Node)))
}

func nodeID(n *Node) string {
	if n == nil {
		return ""
	}
	return strconv.Itoa(n.ID)
}

// Image is what a build makes for one platform. The config has all but times and layers.
type Image struct {
	Platform ocispec.Platform // as asked for
	Config   dockerspec.DockerOCIImage
	History  []Entry  // oldest first
	Top      *Node    // whose tree is the image's; nil: the empty tree
	Base     ImageRef // that it is built on; zero: nothing
	BaseNode *Node
}

// Entry is a line of an image's history.
type Entry struct {
	CreatedBy string
	Line      int
	Node      *Node // whose time the entry has, and whose layer if Layer is set; nil: the base's time
	Layer     bool  // Node may have made a layer
	Base      *ocispec.History
	Created   *time.Time // of the base image, for entries without Node
}

// ImageRef names an image for one platform.
type ImageRef struct {
	Name     string // a reference, or an address such as oci-layout://DIR
	Platform string // in full
}

// Need is an image whose config Compile has to know.
type Need struct {
	ImageRef
	Location []parser.Range // of the instruction that names it
	Word     string         // that names it there
}
