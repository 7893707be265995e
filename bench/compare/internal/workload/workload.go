// Package workload has what is built: contexts, Buildfiles, a base, and the upper directories that such steps leave.
package workload

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lbuild/lbuild/bench"
)

// Base is the name of the base in Buildfiles.
const Base = "localhost/comparebase"

// Build is an image that is built one or several times in a row, each time in the same root of a builder.
type Build struct {
	// Buildfile is its text.
	Buildfile string
	// Tree is the content of the directory tree in the context. The zero one is none.
	Tree bench.Tree
	// Phases are the builds, in order. The first one is cold: nothing but the base is known.
	Phases []Phase
	// Ignored are paths whose content is another one in each build of the same builder.
	Ignored []string
}

// Phase is one build that is measured.
type Phase struct {
	Name, Title string
	// Change is made to the context before, and undo takes it back. Nil changes nothing.
	Change func(dir string) (undo func() error, err error)
}

const (
	smallFiles = 60_000
	largeFiles = 20
	largeSize  = 50_000_000 // bytes of each
	manySteps  = 30
)

// smallTree and largeTree are the content of the contexts. The files of one are 4 KB on average.
var (
	smallTree = bench.Tree{Files: smallFiles, Max: 8 << 10}
	largeTree = bench.Tree{Files: largeFiles, Min: largeSize, Max: largeSize}
)

// Builds are all workloads of builders.
func Builds() []Build {
	return []Build{
		{
			Buildfile: from() + "COPY tree /app\n", Tree: smallTree,
			Phases: []Phase{{Name: "small", Title: "COPY of 60,000 small files"}},
		},
		{
			Buildfile: from() + "COPY tree /app\n", Tree: largeTree,
			Phases: []Phase{
				{Name: "large", Title: "COPY of 1 GB"},
				{Name: "again", Title: "the same with nothing changed"},
				{Name: "changed", Title: "the same after one of 20 files was replaced", Change: replaceOne},
			},
		},
		{
			Buildfile: from() + strings.Join(aptSteps[:], "\n") + "\n",
			Phases:    []Phase{{Name: "apt", Title: "apt-get install of build-essential, rm of the lists, purge"}},
			Ignored: append(ofContainers(),
				"var/log", "var/cache/ldconfig", "var/cache/apt", "var/lib/dpkg", "var/lib/apt", "var/cache/debconf", "etc/ld.so.cache"),
		},
		{
			Buildfile: from() + runs(manySteps),
			Phases:    []Phase{{Name: "steps", Title: "30 small RUN steps"}},
			Ignored:   ofContainers(),
		},
		{
			Buildfile: parallel("a", "b", "c"),
			Phases:    []Phase{{Name: "parallel", Title: "three heavy stages side by side"}},
			Ignored:   ofContainers(),
		},
	}
}

// ofContainers are files that a builder mounts into containers, and of which some leave the mount point behind.
func ofContainers() []string { return []string{"etc/hosts", "etc/hostname", "etc/resolv.conf"} }

func from() string { return "FROM " + Base + "\n" }

var aptSteps = [...]string{
	"RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y build-essential",
	"RUN rm -rf /var/lib/apt/lists/*",
	"RUN DEBIAN_FRONTEND=noninteractive apt-get purge -y --auto-remove build-essential",
}

func runs(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "RUN echo %d > /step-%[1]d\n", i)
	}
	return b.String()
}

// parallel is a Buildfile with stages that copy and compress, and one that collects what they made.
func parallel(stages ...string) string {
	var b strings.Builder
	for _, s := range stages {
		fmt.Fprintf(&b, "FROM %s AS %s\n", Base, s)
		fmt.Fprintf(&b, "RUN mkdir /%s && cp -a /usr /%[1]s/usr && tar -C /usr -cf - . | gzip > /%[1]s/usr.tar.gz\n", s)
	}
	b.WriteString(from())
	for _, s := range stages {
		fmt.Fprintf(&b, "COPY --from=%s /%[1]s /%[1]s\n", s)
	}
	return b.String()
}

// Prime is a Buildfile that makes a builder import and unpack the base.
func Prime() string { return from() + "RUN true\n" }

// Write makes the build's context in a new directory: the tree, and nothing else.
func (b Build) Write(dir string) error {
	tree := filepath.Join(dir, "tree")
	if err := os.MkdirAll(tree, 0o755); err != nil || b.Tree.Files == 0 {
		return err
	}
	_, err := b.Tree.Write(tree)
	return err
}

// replaceOne gives the first file of a tree other content, as easy to compress and a little longer, and takes it back.
func replaceOne(dir string) (undo func() error, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "tree/lib00/*/*000000.dat"))
	if err != nil || len(files) != 1 {
		return nil, errors.Join(err, fmt.Errorf("%s: %d first files", dir, len(files)))
	}
	name := files[0]
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	old, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	content := append(slices.Clone(old), "a little longer"...)
	slices.Reverse(content)
	undo = func() error {
		return errors.Join(os.WriteFile(name, old, info.Mode()), os.Chtimes(name, info.ModTime(), info.ModTime()))
	}
	if err := os.WriteFile(name, content, info.Mode()); err != nil {
		return nil, errors.Join(err, undo())
	}
	return undo, nil
}

// Tiny is the same with few files, to try a harness.
func (b Build) Tiny() Build {
	b.Tree = tiny(b.Tree)
	return b
}
