package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// A tree is written as text, one entry in a line, parents before children:
//
//	dir/              a directory
//	file "text"       a regular file
//	link -> target    a symbolic link
//	name = file       a hard link to a file named before
//	pipe | · sock $   a fifo, a socket
//	dev c1:3          a character device; b for a block device
//
// Options follow: 4755 (mode; 755 for a directory and 644 for others is left out), 1:2 (owner; 0:0 is left out),
// @100 (mtime in seconds; times after 2001 are left out), user.x=v (attribute).

// oldest is the first time that readTree leaves out.
const oldest = 1_000_000_000

// requireRoot skips a test that changes owners or makes devices.
func requireRoot(tb testing.TB) {
	tb.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("LBUILD_TEST_STRICT") == "1" {
		tb.Fatal("not root")
	}
	tb.Skip("not root")
}

// makeTree makes the tree in a new directory.
func makeTree(tb testing.TB, text string) string {
	tb.Helper()
	dir := tb.TempDir()
	must(tb, os.Chmod(dir, 0o755))
	addTree(tb, dir, text)
	return dir
}

func addTree(tb testing.TB, dir, text string) {
	tb.Helper()
	var lines [][]string
	for line := range strings.Lines(text) {
		if f := split(line); len(f) > 0 {
			lines = append(lines, f)
			makeEntry(tb, dir, f)
		}
	}
	for i := len(lines) - 1; i >= 0; i-- { // children first: they move the times of their parents
		for _, option := range lines[i][1:] {
			if s, ok := strings.CutPrefix(option, "@"); ok {
				sec, err := strconv.ParseInt(s, 10, 64)
				must(tb, err)
				times := []unix.Timespec{{Sec: sec}, {Sec: sec, Nsec: 5}}
				must(tb, unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(dir, lines[i][0]), times, unix.AT_SYMLINK_NOFOLLOW))
			}
		}
	}
}

// split cuts a line into words; a quoted string is one word.
func split(line string) []string {
	line = strings.TrimSpace(line)
	if i := strings.Index(line, `"`); i >= 0 {
		j := strings.LastIndex(line, `"`)
		return append(append(strings.Fields(line[:i]), line[i:j+1]), strings.Fields(line[j+1:])...)
	}
	return strings.Fields(line)
}

func makeEntry(tb testing.TB, dir string, words []string) {
	tb.Helper()
	at := filepath.Join(dir, words[0])
	must(tb, os.MkdirAll(filepath.Dir(at), 0o755))
	rest := words[1:]
	switch {
	case strings.HasSuffix(words[0], "/"):
		must(tb, os.MkdirAll(at, 0o755))
	case rest[0] == "->":
		must(tb, os.Symlink(rest[1], at))
		rest = rest[1:]
	case rest[0] == "=":
		must(tb, os.Link(filepath.Join(dir, rest[1]), at))
		rest = rest[1:]
	case rest[0] == "|":
		must(tb, unix.Mkfifo(at, 0o644))
	case rest[0] == "$":
		must(tb, unix.Mknod(at, unix.S_IFSOCK|0o644, 0))
	case rest[0][0] == '"':
		s, err := strconv.Unquote(rest[0])
		must(tb, err)
		must(tb, os.WriteFile(at, []byte(s), 0o644))
	default:
		var kind byte
		var major, minor uint32
		_, err := fmt.Sscanf(rest[0], "%c%d:%d", &kind, &major, &minor)
		must(tb, err)
		must(tb, unix.Mknod(at, map[byte]uint32{'c': unix.S_IFCHR, 'b': unix.S_IFBLK}[kind]|0o644, int(unix.Mkdev(major, minor))))
	}
	for _, option := range rest {
		setOwner(tb, at, option)
	}
	for _, option := range rest {
		setOption(tb, at, option)
	}
}

// setOwner comes first: it takes setuid and setgid away.
func setOwner(tb testing.TB, at, option string) {
	tb.Helper()
	var uid, gid int
	if n, _ := fmt.Sscanf(option, "%d:%d", &uid, &gid); n == 2 {
		must(tb, os.Lchown(at, uid, gid))
	}
}

func setOption(tb testing.TB, at, option string) {
	tb.Helper()
	if mode, err := strconv.ParseUint(option, 8, 32); err == nil {
		must(tb, unix.Chmod(at, uint32(mode)))
	} else if name, value, ok := strings.Cut(option, "="); ok && option != "=" && option[0] != '"' {
		must(tb, unix.Lsetxattr(at, name, []byte(value), 0))
	}
}

// readTree is the tree as text, sorted, with the root itself left out.
func readTree(tb testing.TB, dir string) string {
	tb.Helper()
	var b strings.Builder
	seen := map[inode]string{}
	err := filepath.WalkDir(dir, func(at string, _ fs.DirEntry, err error) error {
		name, _ := filepath.Rel(dir, at)
		if err != nil || name == "." {
			return err
		}
		b.WriteString(strings.Join(readEntry(tb, at, name, seen), " ") + "\n")
		return nil
	})
	must(tb, err)
	return b.String()
}

func readEntry(tb testing.TB, at, name string, seen map[inode]string) []string {
	tb.Helper()
	var st unix.Stat_t
	must(tb, unix.Lstat(at, &st))
	m := newMeta(&st)
	words, usual := []string{name}, uint32(0o644)
	switch m.kind() {
	case unix.S_IFDIR:
		words, usual = []string{name + "/"}, 0o755
	case unix.S_IFLNK:
		to, err := os.Readlink(at)
		must(tb, err)
		words, usual = append(words, "->", to), 0o777
	case unix.S_IFIFO:
		words = append(words, "|")
	case unix.S_IFSOCK:
		words = append(words, "$")
	case unix.S_IFCHR:
		words = append(words, fmt.Sprintf("c%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev)))
	case unix.S_IFBLK:
		words = append(words, fmt.Sprintf("b%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev)))
	default:
		if first, ok := seen[m.inode()]; ok {
			return append(words, "=", first)
		}
		seen[m.inode()] = name
		data, err := os.ReadFile(at)
		must(tb, err)
		words = append(words, strconv.Quote(string(data)))
	}
	return append(words, readOptions(tb, at, &m, usual)...)
}

func readOptions(tb testing.TB, at string, m *meta, usual uint32) (words []string) {
	tb.Helper()
	if m.mode&0o7777 != usual {
		words = append(words, strconv.FormatUint(uint64(m.mode&0o7777), 8))
	}
	if m.uid != 0 || m.gid != 0 {
		words = append(words, fmt.Sprintf("%d:%d", m.uid, m.gid))
	}
	if m.mtime.Sec < oldest {
		words = append(words, fmt.Sprintf("@%d", m.mtime.Sec))
	}
	f, err := os.OpenFile(at, unix.O_PATH|unix.O_NOFOLLOW, 0)
	must(tb, err)
	defer f.Close()
	attrs, err := readXattrs(f)
	if !m.isLink() {
		must(tb, err)
	}
	for _, a := range attrs {
		words = append(words, a.name+"="+string(a.value))
	}
	return words
}

// checkTree fails if the tree in dir is not the one written.
func checkTree(tb testing.TB, dir, want string) {
	tb.Helper()
	var lines []string
	for line := range strings.Lines(want) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	got := strings.Split(strings.TrimSuffix(readTree(tb, dir), "\n"), "\n")
	if len(got) == 1 && got[0] == "" {
		got = nil
	}
	if d := cmp.Diff(lines, got); d != "" {
		tb.Errorf("tree (-want +got):\n%s", d)
	}
}

// openTree opens a tree for the length of the test.
func openTree(tb testing.TB, dir string, opts Options) *Tree {
	tb.Helper()
	t, err := Open(dir, opts)
	must(tb, err)
	tb.Cleanup(func() { must(tb, t.Close()) })
	return t
}

func selectAll(tb testing.TB, t *Tree, sources ...string) *Selection {
	tb.Helper()
	s, err := t.Select(tb.Context(), sources)
	must(tb, err)
	return s
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// checkError fails if err is not what is wanted: a sentinel or a part of its text; nil and "" want none.
func checkError(tb testing.TB, err, is error, text string) {
	tb.Helper()
	if is == nil && text == "" {
		must(tb, err)
		return
	}
	if err == nil {
		tb.Fatalf("no error, want %v %q", is, text)
	}
	if is != nil && !errors.Is(err, is) {
		tb.Errorf("error %q is not %q", err, is)
	}
	if !strings.Contains(err.Error(), text) {
		tb.Errorf("error %q does not contain %q", err, text)
	}
}

// contextCanceled is a context that has ended.
func contextCanceled(tb testing.TB) (context.Context, context.CancelFunc) {
	tb.Helper()
	ctx, cancel := context.WithCancel(tb.Context())
	cancel()
	return ctx, cancel
}
