package difftest

import (
	"archive/tar"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/lbuild/lbuild/diff/internal/treetest"
	"golang.org/x/sys/unix"
)

const (
	sparseSize = 256 << 20 // bytes
	sparseData = 1 << 20   // bytes somewhere in the middle of them
	readLimit  = 32 << 20  // bytes, because tars may be written through pipes
	maxMemory  = 128 << 20 // bytes
)

var sparse = []trial{
	{
		name: "256 MiB with 1 MiB of data", big: true,
		step:   `truncate -s 256M f; head -c 1048576 /dev/urandom | dd of=f bs=64k seek=100 conv=notrunc status=none iflag=fullblock`,
		checks: []check{plainTar, size("f", sparseSize), readsLittle},
	},
	{
		name: "data and holes in turn", step: `for i in 0 5 17 40; do printf $i | dd of=f bs=64k seek=$i conv=notrunc status=none; done; truncate -s 8M f`,
		checks: []check{plainTar},
	},
}

// plainTar demands that no entry is of those that tell holes: the image specification has none, and not everybody who
// unpacks images knows them.
func plainTar(l *layer) error {
	for _, e := range l.entries {
		if e.Typeflag == tar.TypeGNUSparse || e.PAXRecords["GNU.sparse.major"] != "" {
			return fmt.Errorf("%q is a sparse entry", e.name)
		}
	}
	return nil
}

func readsLittle(l *layer) error {
	if l.read > readLimit {
		return fmt.Errorf("%d MiB were read of a file with %d MiB of data", l.read>>20, sparseData>>20)
	}
	return nil
}

const (
	longName  = "a-name-of-fifty-bytes-0123456789-0123456789-012345"
	shortName = "d"
)

var large = []trial{
	{
		name: "100,000 names in a directory", then: many, big: true, ownDevices: true,
		checks: []check{hasMany, memoryBounded},
	},
	{
		name: "a path of 4,095 bytes", then: deep(longName, 80), checks: []check{holdsDeep(longName, 80)},
		noTree: "no system call takes the path", big: true,
	},
	{
		name: "500 levels", then: deep(shortName, 500), checks: []check{holdsDeep(shortName, 500)}, big: true,
	},
}

const manyNames = 100_000

func many(o *treetest.Overlay) error {
	dir := filepath.Join(o.Merged, "d")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	for i := range manyNames {
		if err := mknod(filepath.Join(dir, "a-name-as-tools-make-them-"+strconv.Itoa(i)), unix.S_IFREG, 0, 0); err != nil {
			return err
		}
	}
	return nil
}

func hasMany(l *layer) error {
	if len(l.entries) != manyNames+1 {
		return fmt.Errorf("%d entries, want %d", len(l.entries), manyNames+1)
	}
	return nil
}

func memoryBounded(l *layer) error {
	if l.memory > maxMemory {
		return fmt.Errorf("%d MiB of memory, want at most %d", l.memory>>20, maxMemory>>20)
	}
	return nil
}

// deep makes a file below so many directories of one name, by steps: the path is longer than a system call takes.
func deep(name string, levels int) func(*treetest.Overlay) error {
	return func(o *treetest.Overlay) error {
		at, err := os.OpenRoot(o.Merged)
		if err != nil {
			return err
		}
		for range levels {
			if err := at.Mkdir(name, 0o755); err != nil {
				return errors.Join(err, at.Close())
			}
			next, err := at.OpenRoot(name)
			if err := errors.Join(err, at.Close()); err != nil {
				return err
			}
			at = next
		}
		return errors.Join(at.WriteFile("f", []byte(deepText), 0o644), at.Close())
	}
}

const deepText = "deep"

// holdsDeep demands what deep made.
func holdsDeep(name string, levels int) check {
	return func(l *layer) error {
		found := l.find(strings.Repeat(name+"/", levels) + "f")
		if len(found) != 1 || len(l.entries) != levels+1 {
			return fmt.Errorf("%d entries of which %d are the file, want %d and 1", len(l.entries), len(found), levels+1)
		}
		if found[0].sum != crc32.Checksum([]byte(deepText), castagnoli) {
			return errors.New("the file has another content")
		}
		return nil
	}
}
