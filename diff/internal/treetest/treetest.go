// Package treetest makes, changes and prints directory trees for tests, all as text.
//
// A tree is one entry a line. A line is a path, then what the entry has beyond the plainest of its type:
//
//	d/                              directory; mode 0755
//	d/f        "text"               regular file; mode 0644
//	d/hole     size=4096            regular file of zeros
//	d/s        -> target            symbolic link
//	d/h        => d/f               another name of a file that stands above
//	d/p        fifo
//	d/tty      char=5:0             or block=MAJOR:MINOR
//	d/x        mode=4755 own=1:2 mtime=5 user.a="b"
//
// Paths and attribute values with odd bytes are quoted as in Go.
package treetest

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Time is the modification time of what Make makes. Print leaves it out, and times of the last day too.
const Time = 1_000_000_000

// NeedRoot skips the test for other users than root, or fails it with LBUILD_TEST_STRICT=1.
func NeedRoot(tb testing.TB) {
	tb.Helper()
	if os.Getuid() != 0 {
		Skip(tb, "only root can mount overlays and make devices")
	}
}

// NeedPrograms skips the test where a program is not installed, or fails it with LBUILD_TEST_STRICT=1.
func NeedPrograms(tb testing.TB, names ...string) {
	tb.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			Skip(tb, "program "+name+" is not installed")
		}
	}
}

// Skip skips a test for what the machine lacks, or fails it with LBUILD_TEST_STRICT=1.
func Skip(tb testing.TB, missing string) {
	tb.Helper()
	if os.Getenv("LBUILD_TEST_STRICT") == "1" {
		tb.Fatal(missing)
	}
	tb.Skip(missing)
}

// entry is one line of a tree.
type entry struct {
	path     string
	kind     string // dir, file, symlink, hardlink, fifo, char, block, socket
	target   string
	content  string
	size     int64
	major    uint32
	minor    uint32
	mode     uint32 // permissions and the three bits above them
	uid, gid int
	mtime    int64
	xattrs   map[string]string
	whiteout bool // a marker as layers have it
}

func plainest(kind string) uint32 {
	switch kind {
	case "dir":
		return 0o755
	case "symlink":
		return 0o777
	}
	return 0o644
}

// String is the entry's line.
func (e entry) String() string {
	fields := []string{quoted(e.path)}
	if e.kind == "dir" && !strings.HasSuffix(e.path, "/") {
		fields[0] = quoted(e.path + "/")
	}
	switch e.kind {
	case "file":
		fields = append(fields, e.text()...)
	case "symlink":
		fields = append(fields, "->", quoted(e.target))
	case "hardlink":
		fields = append(fields, "=>", quoted(e.target))
	case "char", "block":
		fields = append(fields, fmt.Sprintf("%s=%d:%d", e.kind, e.major, e.minor))
	case "fifo", "socket":
		fields = append(fields, e.kind)
	}
	return strings.Join(append(fields, e.metadata()...), " ")
}

const longest = 200 // bytes of content that are printed

func (e entry) text() []string {
	switch {
	case e.size == 0:
		return nil
	case e.size > longest:
		return []string{fmt.Sprintf("size=%d", e.size)}
	}
	return []string{strconv.Quote(e.content)}
}

func (e entry) metadata() []string {
	if e.whiteout || e.kind == "hardlink" {
		return nil
	}
	var fields []string
	if e.mode != plainest(e.kind) {
		fields = append(fields, fmt.Sprintf("mode=%04o", e.mode))
	}
	if e.uid != 0 || e.gid != 0 {
		fields = append(fields, fmt.Sprintf("own=%d:%d", e.uid, e.gid))
	}
	if age := time.Since(time.Unix(e.mtime, 0)); e.mtime != Time && (age < 0 || age > 24*time.Hour) {
		fields = append(fields, fmt.Sprintf("mtime=%d", e.mtime))
	}
	for _, name := range slices.Sorted(maps.Keys(e.xattrs)) {
		fields = append(fields, name+"="+strconv.Quote(e.xattrs[name]))
	}
	return fields
}

func quoted(s string) string {
	if q := strconv.Quote(s); q != `"`+s+`"` || s == "" || strings.ContainsAny(s, " =") {
		return q
	}
	return s
}

// Text is a tree in a raw string literal, without the indentation that it has there.
func Text(s string) string {
	var lines []string
	for line := range strings.Lines(s) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}
