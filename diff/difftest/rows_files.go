package difftest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/lbuild/lbuild/diff/internal/treetest"
)

var restoredTimes = []trial{
	{
		name: "whole seconds", lower: []string{`f "x"`}, step: `printf y >f; touch -d @1000000000 f`,
		want: `f "y"`,
	},
	{
		name: "nanoseconds", lower: []string{`f "x"`}, prepare: `touch -d @1000000000.123456789 f`,
		step: `printf y >f; touch -d @1000000000.123456789 f`, want: `f "y"`,
	},
	{
		name: "a new file in its place", lower: []string{`f "x"`}, prepare: `touch -d @1000000000.123456789 f`,
		step: `printf y >g; touch -r f g; mv g f`, want: `f "y"`,
	},
	{
		name: "another target of the same length", lower: []string{`l -> x`},
		step: `ln -sfn y l; touch -h -d @1000000000 l`, want: `l -> y`,
	},
}

var linksToBase = []trial{
	{
		name: "after the old name", lower: []string{`old "x"`}, step: `ln old zz`, want: "old \"x\"\nzz => old",
	},
	{
		name: "before the old name", lower: []string{`old "x"`}, step: `ln old aa`, want: "aa \"x\"\nold => aa",
	},
	{
		name: "both", lower: []string{`old "x"`}, step: `ln old zz; ln old aa`,
		want: "aa \"x\"\nold => aa\nzz => aa",
	},
	{
		name: "in another directory", lower: []string{"d/\nd/old \"x\"\ne/"},
		step: `ln d/old e/new; touch -d @1000000000 e`,
		want: "d/\nd/old \"x\"\ne/\ne/new => d/old",
	},
	{
		name: "with nanoseconds", lower: []string{`old "x"`}, prepare: `touch -d @1000000000.123456789 old`,
		step: `ln old new`, want: "new \"x\"\nold => new",
	},
}

var newLinks = []trial{
	{name: "of a file", step: `mkdir d; printf x >d/a; ln d/a b`, want: "b \"x\"\nd/\nd/a => b"},
	{name: "of a symbolic link", step: `ln -s x a; ln -P a b`, want: "a -> x\nb => a"},
	{name: "of a fifo", step: `mkfifo a; ln a b`, want: "a fifo\nb => a"},
	{name: "of which one is left", step: `printf x >a; ln a b; rm a`, want: `b "x"`},
	{name: "of which one replaces a file", lower: []string{`b "y"`}, step: `printf x >a; ln -f a b`, want: "a \"x\"\nb => a"},
	{
		name: "with bits and an owner", step: `printf x >a; ln a b; chown 1:2 b; chmod 4755 a`,
		want: "a \"x\" mode=4755 own=1:2\nb => a",
	},
	{
		name: "of two files", step: `printf x >a; printf x >b; ln a c; ln b d`,
		want: "a \"x\"\nb \"x\"\nc => a\nd => b",
	},
	{
		// On a tmpfs the numbers of inodes start over, so some are those of files that the step linked.
		name: "beside linked files of another device with the same inode numbers", ownDevices: true,
		lower: []string{"l/\n" + linkedPairs(20)},
		step:  `for i in 1 2 3 4 5; do printf x$i >n$i; ln n$i m$i; done`,
	},
}

// linkedPairs are lines of a tree with so many files of two names.
func linkedPairs(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "l/a%d \"%d\"\nl/b%d => l/a%d\n", i, i, i, i)
	}
	return b.String()
}

const packed = "nothing changed in it"

var unchanged = []trial{
	{
		name: "moved away and back", lower: []string{"f \"x\"\nd/\nd/g"},
		step: `mv f t; mv t f; touch -d @1000000000 .`, checks: []check{lacks("f", packed)}, want: nothing,
	},
	{
		name: "moved away and back, with nanoseconds", lower: []string{`f "x"`},
		prepare: `touch -d @1000000000.123456789 f`,
		step:    `mv f t; mv t f`, checks: []check{lacks("f", packed)}, want: nothing,
	},
	{
		name: "touched with its own time", lower: []string{"d/\nd/g \"x\""}, step: `touch -r d/g d/g`,
		checks: []check{lacks("d/g", packed)}, want: nothing,
	},
	{
		name: "given to its owner", lower: []string{`f "x" own=5:6`}, step: `chown 5:6 f; chmod 0644 f`,
		checks: []check{lacks("f", packed)}, want: nothing,
	},
	{
		name: "written with the same bytes and time", lower: []string{`f "x"`},
		step: `printf x >f; touch -d @1000000000 f`, checks: []check{lacks("f", packed)}, want: nothing,
	},
	{
		name: "a link and a fifo", lower: []string{"l -> x\np fifo"}, step: `for f in l p; do mv $f t; mv t $f; done`,
		checks: []check{lacks("l", packed), lacks("p", packed)}, want: nothing,
	},
	{
		name: "a directory whose file changed and changed back", lower: []string{"d/ mode=0700\nd/f \"x\""},
		step: `chmod 0600 d/f; chmod 0644 d/f`, checks: []check{lacks("d/f", packed)}, want: nothing,
	},
}

var (
	kept      = []string{"metacopy=on", "redirect_dir=on"}
	redirects = []string{"redirect_dir=on"}
)

var keptBelow = []trial{
	{
		name: "a renamed directory", mount: redirects,
		lower: []string{"a/\na/f \"x\"\na/sub/ mode=0700\na/sub/g \"y\""}, step: `mv a b; printf z >b/n`,
		want: ".wh.a\nb/\nb/f \"x\"\nb/n \"z\"\nb/sub/ mode=0700\nb/sub/g \"y\"",
	},
	{
		name: "a directory renamed over another", mount: redirects,
		lower: []string{"a/\na/f", "b/\nb/old"}, step: `rm -r b; mv a b`,
		want: ".wh.a\nb/\nb/.wh..wh..opq\nb/f",
	},
	{
		name: "a directory renamed into another, and one in it too", mount: redirects,
		lower: []string{"a/\na/s/\na/s/f\nd/"}, step: `mv a d/b; mv d/b/s d/b/t; rm d/b/t/f; touch d/b/t/g`,
		want: ".wh.a\nd/\nd/b/\nd/b/t/\nd/b/t/g",
	},
	{
		name: "a directory renamed away and back", mount: redirects,
		lower: []string{"a/\na/f"}, step: `mv a b; mv b a`, want: nothing,
	},
	{
		name: "two directories that change places", mount: redirects,
		lower: []string{"a/\na/f \"1\"\nb/\nb/f \"2\"\nb/g"}, step: `mv a t; mv b a; mv t b`,
		want: "a/\na/.wh..wh..opq\na/f \"2\"\na/g\nb/\nb/.wh..wh..opq\nb/f \"1\"",
	},
	{
		name: "new modes", mount: kept, lower: []string{"d/\nd/f \"x\"", "d/\nd/g \"y\""}, step: `chmod -R 0700 d`,
		want: "d/ mode=0700\nd/f \"x\" mode=0700\nd/g \"y\" mode=0700",
	},
	{
		name: "a new mode and a new name", mount: kept, lower: []string{"d/\nd/f \"x\"\ne/"},
		step: `chmod 0700 d/f; mv d/f e/g`, want: "d/\nd/.wh.f\ne/\ne/g \"x\" mode=0700",
	},
	{
		name: "a file renamed twice", mount: kept, lower: []string{"f \"x\""},
		step: `chmod 0700 f; mv f g; mv g h`, want: ".wh.f\nh \"x\" mode=0700",
	},
	{
		name: "a new owner and a new link", mount: kept, lower: []string{"f \"x\""},
		step: `chown 5:6 f; ln f g`, want: "f \"x\" own=5:6\ng => f",
	},
}

var limits = []trial{
	{
		name: "both names of a file of the base, with an index", mount: []string{"index=on"}, trusted: true,
		lower: []string{"a-name \"x\"\nb-name => a-name"}, step: `printf y >a-name; touch b-name`,
		refused: "-name", mayRefuse: true, want: "a-name \"y\"\nb-name => a-name",
	},
	{
		name: "one name of a file of the base, with an index", mount: []string{"index=on"}, trusted: true,
		lower: []string{"a-name \"x\"\nb-name => a-name"}, step: `printf y >a-name`, refused: "-name", mayRefuse: true,
	},
	{
		name: "a path of 5,000 bytes", then: deep(longName, 100), refused: longName, mayRefuse: true,
		checks: []check{holdsDeep(longName, 100)}, noTree: "no system call takes the path",
	},
}

var unreadable = []trial{
	{
		name: "grows", step: fourMiB, meddle: truncate(8 << 20), refused: "changing",
	},
	{name: "shrinks", step: fourMiB, meddle: truncate(2 << 20), refused: "changing"},
	{
		name: "vanishes", step: fourMiB + "; printf x >vanishing", refused: "vanishing",
		meddle: func(o *treetest.Overlay) error { return os.Remove(filepath.Join(o.Merged, "vanishing")) },
	},
	{
		name: "is replaced", step: fourMiB + "; printf x >replaced", refused: "replaced", mayRefuse: true,
		meddle: func(o *treetest.Overlay) error {
			path := filepath.Join(o.Merged, "replaced")
			return errors.Join(os.Remove(path), os.Mkdir(path, 0o755))
		},
	},
	{name: "is on a disk that fails in the middle", step: diskFile, brokenDisk: true, trusted: true, refused: "broken"},
	{
		name: "has lost its bytes below", mount: kept, lower: []string{"data \"x\"\ne"}, step: `chmod 0600 data`,
		then: func(o *treetest.Overlay) error { return loseBytes(o, "data") }, refused: "data",
	},
}

// fourMiB makes a file that is much larger than what any differ reads or writes at once.
const fourMiB = `head -c 4194304 /dev/urandom >changing`

func truncate(size int64) func(*treetest.Overlay) error {
	return func(o *treetest.Overlay) error { return os.Truncate(filepath.Join(o.Merged, "changing"), size) }
}

// loseBytes removes the lower file of one whose metadata alone was copied up. Reading it is an input error then.
func loseBytes(o *treetest.Overlay, name string) error {
	for _, dir := range o.Lower {
		err := os.Remove(filepath.Join(dir, name))
		if err == nil || !errors.Is(err, os.ErrNotExist) {
			return errors.Join(err, forgetNames())
		}
	}
	return os.ErrNotExist
}

// forgetNames has the kernel look names up again.
func forgetNames() error {
	return os.WriteFile("/proc/sys/vm/drop_caches", []byte("2"), 0)
}
