package difftest

import (
	"fmt"
	"iter"
	"path/filepath"

	"github.com/lbuild/lbuild/diff/internal/treetest"
	"golang.org/x/sys/unix"
)

var deletedFiles = []trial{
	{
		name: "a file", lower: []string{`f "x"`}, step: `rm f`,
		checks: []check{bare(".wh.f")}, want: `.wh.f`,
	},
	{
		name: "a file of another owner", lower: []string{`f "x" mode=4755 own=5:6 mtime=7`}, step: `rm f`,
		checks: []check{bare(".wh.f")}, want: `.wh.f`,
	},
	{
		name: "a file in a directory", lower: []string{"d/\nd/f \"x\"\nd/g"}, step: `rm d/f; touch -d @1000000000 d`,
		checks: []check{bare("d/.wh.f")}, want: "d/\nd/.wh.f",
	},
	{
		name: "a link and a device", lower: []string{"l -> x\nc char=1:3"}, step: `rm l c`, trusted: true,
		checks: []check{bare(".wh.l"), bare(".wh.c")}, want: ".wh.c\n.wh.l",
	},
	{
		name: "deletions and new names", lower: []string{"b\nz"}, step: `rm b z; touch a y`,
		checks: []check{bare(".wh.b"), bare(".wh.z")}, want: ".wh.b\n.wh.z\na\ny",
	},
	{
		name: "a file of two lower directories", lower: []string{`f "top"`, `f "bottom"`}, step: `rm f`,
		checks: []check{bare(".wh.f")}, want: `.wh.f`,
	},
	{
		name: "a file with an odd name", lower: []string{`"a\nb\xff" "x"`}, step: `rm a*`,
		checks: []check{bare(".wh.a\nb\xff")}, want: `".wh.a\nb\xff"`,
	},
}

var deletedTrees = []trial{
	{
		name: "a tree", lower: []string{"d/\nd/e/\nd/e/f\nd/g"}, step: `rm -r d`,
		checks: []check{inOrder(".wh.d"), onlyOne}, want: `.wh.d`,
	},
	{
		name: "a tree of two lower directories", lower: []string{"d/\nd/f", "d/\nd/e/\nd/e/g"}, step: `rm -r d`,
		checks: []check{inOrder(".wh.d"), onlyOne}, want: `.wh.d`,
	},
	{
		name: "a tree in a tree", lower: []string{"a/\na/d/\na/d/e/\na/d/e/f"}, step: `rm -r a/d; touch -d @1000000000 a`,
		checks: []check{inOrder("a/.wh.d"), atMost(2, "one deletion covers a tree")}, want: "a/\na/.wh.d",
	},
}

var onlyOne = atMost(1, "one deletion covers a tree")

const grows = "the tree is right, but the cost grows with what is hidden"

var remadeDirectories = []trial{
	{
		name: "made again", lower: []string{"d/\nd/a\nd/b"}, step: `rm -r d; mkdir d; touch d/n`,
		checks: []check{markedFirst("d", "d/n")}, want: "d/\nd/.wh..wh..opq\nd/n",
	},
	{
		name: "made again over 200 names", lower: []string{"d/\n" + numbered(200)}, step: `rm -r d; mkdir d; touch d/n`,
		checks: []check{atMost(10, grows)}, want: "d/\nd/.wh..wh..opq\nd/n",
	},
	{
		name:  "made again over two lower directories, with a name of before",
		lower: []string{"d/\nd/a \"1\"", "d/\nd/a \"2\"\nd/b\nd/s/\nd/s/c"},
		step:  `rm -r d; mkdir d; printf 3 >d/a; mkdir d/s`,
		want:  "d/\nd/.wh..wh..opq\nd/a \"3\"\nd/s/",
	},
	{
		name: "made again twice, one in the other", lower: []string{"d/\nd/e/\nd/e/f\nd/g"},
		step: `rm -r d; mkdir -p d/e; touch d/e/n`,
		want: "d/\nd/.wh..wh..opq\nd/e/\nd/e/n",
	},
	{
		name: "made again and empty", lower: []string{"d/\nd/a"}, step: `rm -r d; mkdir d`,
		want: "d/\nd/.wh..wh..opq",
	},
}

// markedFirst demands that what an opaque directory hides is gone before there is something new in it. Deletions one by
// one do as well.
func markedFirst(dir, name string) check {
	return func(l *layer) error {
		if marker := dir + "/.wh..wh..opq"; len(l.find(marker)) > 0 {
			return inOrder(marker, name)(l)
		}
		return nil
	}
}

var newDirectories = []trial{
	{
		name: "new", step: `mkdir -p d/e; touch d/e/f`, want: "d/\nd/e/\nd/e/f",
		checks: []check{lacks("d/.wh..wh..opq", unneeded), lacks("d/e/.wh..wh..opq", unneeded)},
	},
	{
		name: "of a name that a lower directory deletes", lower: []string{"d char=0:0", "d/\nd/f"},
		step: `mkdir d; touch d/n`, want: "d/\nd/n",
		checks: []check{lacks("d/.wh..wh..opq", unneeded)},
	},
	{
		name: "in a directory of the base", lower: []string{"a/\na/b/"}, step: `mkdir a/b/c; touch a/b/c/f`,
		want: "a/\na/b/\na/b/c/\na/b/c/f", checks: []check{lacks("a/b/c/.wh..wh..opq", unneeded)},
	},
}

const unneeded = "there is nothing to hide"

var changedTypes = []trial{
	{name: "file to directory", lower: []string{`x "f"`}, step: `rm x; mkdir x; touch x/n`, want: "x/\nx/n"},
	{name: "directory to file", lower: []string{"x/\nx/f"}, step: `rm -r x; printf f >x`, want: `x "f"`},
	{name: "directory to link", lower: []string{"x/\nx/f\ny/"}, step: `rm -r x; ln -s y x`, want: `x -> y`},
	{
		name: "link to directory", lower: []string{"x -> y\ny/\ny/f"}, step: `rm x; mkdir x; touch x/n`,
		want: "x/\nx/n",
	},
	{name: "file to link", lower: []string{"x \"f\"\ny"}, step: `rm x; ln -s y x`, want: `x -> y`},
	{name: "link to file", lower: []string{"x -> y\ny \"1\""}, step: `rm x; printf 2 >x`, want: `x "2"`},
	{name: "directory to fifo", lower: []string{"x/\nx/f"}, step: `rm -r x; mkfifo x`, want: `x fifo`},
	{
		name: "file over directory", lower: []string{"x", "x/\nx/old"}, step: `rm x; mkdir x; touch x/n`,
		want: "x/\nx/n",
	},
}

var parents = []trial{
	{
		name:  "a changed file",
		lower: []string{"d/ mode=0700 own=5:6 mtime=7\nd/e/ mode=1777\nd/e/f \"x\""}, step: `printf y >d/e/f`,
		checks: []check{inOrder("d", "d/e", "d/e/f")},
		want:   "d/ mode=0700 own=5:6 mtime=7\nd/e/ mode=1777\nd/e/f \"y\"",
	},
	{
		name: "two changed files", lower: []string{"d/ mode=1775 own=1:2\nd/a\nd/b"}, step: `printf x >d/a; printf y >d/b`,
		checks: []check{inOrder("d", "d/a", "d/b")},
		want:   "d/ mode=1775 own=1:2\nd/a \"x\"\nd/b \"y\"",
	},
	{
		name: "a deletion", lower: []string{"d/ mode=0700\nd/f"}, step: `rm d/f; touch -d @1000000000 d`,
		checks: []check{inOrder("d", "d/.wh.f")}, want: "d/ mode=0700\nd/.wh.f",
	},
	{
		name: "a parent with an attribute", lower: []string{"d/ user.k=\"v\"\nd/f \"x\""}, step: `printf y >d/f`,
		want: "d/ user.k=\"v\"\nd/f \"y\"",
	},
	{name: "itself, without its content", lower: []string{"d/\nd/f"}, step: `chmod 0700 d`, want: `d/ mode=0700`},
	{name: "its time alone", lower: []string{"d/\nd/f"}, step: `touch -d @5 d`, want: `d/ mtime=5`, beyond: true},
}

var reserved = []trial{
	{name: ".wh.x", lower: []string{`x "kept"`}, step: `touch .wh.x`, refused: ".wh.x"},
	{name: ".wh.x in a directory", lower: []string{"d/\nd/x"}, step: `touch d/.wh.x`, refused: "d/.wh.x"},
	{name: ".wh..wh..opq", lower: []string{"d/\nd/x"}, step: `touch d/.wh..wh..opq`, refused: "d/.wh..wh..opq"},
	{name: "a directory", step: `mkdir -p .wh.d/e`, refused: ".wh.d"},
	{name: "almost such a name", step: `touch .wh wh. x.wh.y`, want: ".wh\nwh.\nx.wh.y"},
}

var sockets = []trial{
	{name: "new", then: socket, checks: []check{lacks("s", "layers hold none")}, want: nothing},
	{
		name: "in the place of a file", lower: []string{`s "x"`}, step: `rm s`, then: socket,
		checks: []check{notRegular("s")}, want: `.wh.s`,
	},
}

func socket(o *treetest.Overlay) error {
	return mknod(filepath.Join(o.Merged, "s"), unix.S_IFSOCK, 0, 0)
}

const charDevice = unix.S_IFCHR

func mknod(path string, kind, major, minor uint32) error {
	return unix.Mknod(path, kind|0o644, int(unix.Mkdev(major, minor)))
}

func notRegular(name string) check { return lacks(name, "it is a socket") }

var deletedNothing = []trial{
	{
		name: "a mark for a name that a lower directory deletes", lower: []string{"f char=0:0\ng", "f\ng"},
		then: whiteout("f"), checks: []check{lacks(".wh.f", "no lower layer shows it")}, want: nothing,
	},
	{
		name: "a mark for a name that nobody has", lower: []string{"d/\nd/g"}, step: `printf x >d/g`,
		then: whiteout("d/f"), checks: []check{lacks("d/.wh.f", "no lower layer has it")}, want: "d/\nd/g \"x\"",
	},
	{
		name: "made and deleted", lower: []string{"d/\nd/f"},
		step: `touch new; rm new; touch d/new; rm d/new; touch -d @1000000000 d`, want: nothing,
	},
	{name: "nothing at all", lower: []string{"d/\nd/f"}, want: nothing},
}

// whiteout makes the kernel's mark for a deletion where the kernel itself would see no need for it.
func whiteout(name string) func(*treetest.Overlay) error {
	return func(o *treetest.Overlay) error {
		return mknod(filepath.Join(o.Upper, name), charDevice, 0, 0)
	}
}

// numbers are lines of a tree of so many files.
func numbers(n int) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for i := range n {
			if !yield(fmt.Appendf(nil, "d/%d\n", i)) {
				return
			}
		}
	}
}
