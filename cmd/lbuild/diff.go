package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/lbuild/lbuild/diff"
)

const diffLong = `Show what changed, a path a line: A added, C changed, D deleted. A directory
counts as changed if something in it did, and what is in a deleted one is not
listed.

With --upper the changes are those of an overlay mount, and read from its
directories alone: nothing is mounted. For a mount with
lowerdir=image2:image1,upperdir=container they are --lower image2:image1
--upper container.

With OLD and NEW two directories are compared, on whatever file systems, all
files byte by byte.

With --format json each line is an object, which also has types and sizes.
Paths with control characters are quoted.`

const diffExample = `  lbuild diff --upper container --lower image2:image1
  lbuild diff --stat old/ new/`

// diffFlags are the flags of diff as they were typed.
type diffFlags struct {
	upperFlags
	stat   bool
	format listFormat
}

func newDiffCommand(a *app) *cobra.Command {
	f := &diffFlags{}
	cmd := &cobra.Command{
		Use:     "diff [flags] --upper DIR | OLD NEW",
		Short:   "Show what changed in an overlay mount, or between two directories",
		Long:    diffLong,
		Example: diffExample,

		Args:              takes(0, 2),
		ValidArgsFunction: completeDirectories,
		RunE: func(cmd *cobra.Command, args []string) error {
			walk, err := a.diffWalk(f, args)
			if err != nil {
				return usage(cmd, err)
			}
			return a.diff(cmd.Context(), f, walk)
		},
	}
	f.register(cmd.Flags())
	cmd.Flags().BoolVar(&f.stat, "stat", false, "also print sizes and totals")
	addFormatFlag(cmd, &f.format)
	return cmd
}

// walk gives the changes that a command asks for.
type walk func(context.Context) iter.Seq2[diff.Change, error]

// diffWalk decides what to compare. Its errors are usage errors.
func (a *app) diffWalk(f *diffFlags, args []string) (walk, error) {
	switch {
	case len(args) == 0 && f.upper == "" && len(f.lower) == 0:
		return nil, errors.New("want OLD and NEW, or --upper DIR")
	case len(args) == 0:
		return a.upperWalk(f)
	case f.upper != "" || len(f.lower) > 0 || f.userXattr:
		return nil, errors.New("--upper, --lower and --userxattr do not go together with OLD and NEW")
	case len(args) == 1:
		return nil, errors.New("a directory is missing: want OLD and NEW, or --upper DIR")
	}
	for _, dir := range args {
		info, err := os.Stat(dir)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("directory %s does not exist; images and containers cannot be compared yet", dir)
		case err != nil:
			return nil, err
		case !info.IsDir():
			return nil, fmt.Errorf("%s is not a directory", dir)
		}
	}
	opts := diff.TreesOptions{Old: args[0], New: args[1], Warn: a.warn}
	return func(ctx context.Context) iter.Seq2[diff.Change, error] { return diff.Trees(ctx, opts) }, nil
}

func (a *app) upperWalk(f *diffFlags) (walk, error) {
	opts, err := f.options()
	opts.Whiteouts, opts.Warn = diff.Explicit, a.warn
	return func(ctx context.Context) iter.Seq2[diff.Change, error] { return diff.Upper(ctx, opts) }, err
}

// warn shows what a layer cannot hold as it is.
func (a *app) warn(w diff.Warning) { fmt.Fprintln(a.stderr, "warning:", w) }

// diff walks and prints, in docker's order: that of the whole paths.
func (a *app) diff(ctx context.Context, f *diffFlags, walk walk) error {
	if f.upper != "" {
		if err := f.marksAreReadable(); err != nil {
			return err
		}
	}
	var changes []pathChange
	for c, err := range walk(ctx) {
		if errors.Is(err, diff.ErrWhiteout) {
			return fmt.Errorf("%w; an upper directory is read with --upper DIR --lower DIR", err)
		}
		if err != nil {
			return err
		}
		if c.Path != "." || c.Kind == diff.Modify {
			changes = append(changes, describe(c))
		}
	}
	slices.SortFunc(changes, func(a, b pathChange) int { return cmp.Compare(a.Path, b.Path) })
	switch {
	case f.format == formatJSON:
		return writeJSONLines(a.stdout, changes)
	case f.stat:
		return writeStat(a.stdout, changes)
	}
	return writeChanges(a.stdout, changes)
}

// pathChange is a change as diff prints it.
type pathChange struct {
	Kind     string `json:"kind"`
	Path     string `json:"path"`
	Type     string `json:"type,omitempty"`
	Size     int64  `json:"size"` // bytes; 0 for further names of a file
	Hardlink string `json:"hardlink,omitempty"`
}

func describe(c diff.Change) pathChange {
	p := pathChange{Kind: c.Kind.String(), Path: absolute(c.Path)}
	switch {
	case c.Kind == diff.Delete:
	case c.Hardlink != "":
		p.Type, p.Hardlink = typeName(c.Mode), absolute(c.Hardlink)
	default:
		p.Type, p.Size = typeName(c.Mode), c.Size
	}
	return p
}

// absolute is a path as a container sees it.
func absolute(path string) string {
	if path == "." {
		return "/"
	}
	return "/" + path
}

func typeName(mode fs.FileMode) string {
	switch mode.Type() {
	case fs.ModeDir:
		return "directory"
	case fs.ModeSymlink:
		return "symlink"
	case fs.ModeNamedPipe:
		return "fifo"
	case fs.ModeDevice:
		return "block"
	case fs.ModeDevice | fs.ModeCharDevice:
		return "char"
	}
	return "file"
}

// letter is docker's sign for a kind of change.
func (p pathChange) letter() string {
	switch p.Kind {
	case diff.Add.String():
		return "A"
	case diff.Delete.String():
		return "D"
	}
	return "C"
}

func writeChanges(w io.Writer, changes []pathChange) error {
	for _, c := range changes {
		if _, err := fmt.Fprintln(w, c.letter(), oneWord(c.Path)); err != nil {
			return err
		}
	}
	return nil
}

// sizeWidth is that of the longest size, "1.02GB" or so.
const sizeWidth = 8

// writeStat prints sizes, and the sums below.
func writeStat(w io.Writer, changes []pathChange) error {
	counts, files, bytes := map[string]int{}, 0, int64(0)
	for _, c := range changes {
		text := "-"
		if c.Type == "file" && c.Hardlink == "" {
			text = size(c.Size)
			files, bytes = files+1, bytes+c.Size
		}
		counts[c.Kind]++
		if _, err := fmt.Fprintln(w, c.letter(), padLeft(text, sizeWidth), oneWord(c.Path)); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "%d added, %d changed, %d deleted; %s in %s\n",
		counts[diff.Add.String()], counts[diff.Modify.String()], counts[diff.Delete.String()], size(bytes), plural(files, "file"))
	return err
}

// oneWord quotes a path that would not stay on its line, or acts on the terminal.
func oneWord(path string) string {
	if strings.ContainsFunc(path, func(r rune) bool { return r == unicode.ReplacementChar || !unicode.IsPrint(r) }) {
		return strconv.Quote(path)
	}
	return path
}

// plural is a number of things.
func plural(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprint(n, " ", thing)
}
