package treetest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Make makes a tree in an existing directory, with the umask out of the way. All times are Time, also that of dir.
func Make(tb testing.TB, dir, tree string) {
	tb.Helper()
	entries := []entry{{path: ".", kind: "dir", mode: 0o755, mtime: Time}}
	for line := range strings.Lines(Text(tree)) {
		e, err := parse(strings.TrimSpace(line))
		if err != nil {
			tb.Fatalf("tree line %q: %v", line, err)
		}
		entries = append(entries, e)
	}
	for _, e := range entries {
		if err := e.make(dir); err != nil {
			tb.Fatalf("make %s: %v", e, err)
		}
	}
	// Deepest first, because making an entry moves the time of its directory.
	for _, e := range slices.Backward(entries) {
		if err := e.setTime(dir); err != nil {
			tb.Fatalf("time of %s: %v", e, err)
		}
	}
}

//nolint:gocyclo // one case for each kind of entry reads best in one place
func parse(line string) (entry, error) {
	words, err := split(line)
	if err != nil || len(words) == 0 {
		return entry{}, errors.Join(err, errors.New("no path"))
	}
	e := entry{path: unquoted(words[0]), kind: "file", mtime: Time, xattrs: map[string]string{}}
	if strings.HasSuffix(e.path, "/") {
		e.path, e.kind = strings.TrimSuffix(e.path, "/"), "dir"
	}
	mode := -1
	for i := 1; i < len(words) && err == nil; i++ {
		word := words[i]
		switch key, value, _ := strings.Cut(word, "="); {
		case word == "->" || word == "=>":
			e.kind = map[string]string{"->": "symlink", "=>": "hardlink"}[word]
			i++
			e.target = unquoted(words[i])
		case word == "fifo":
			e.kind = word
		case word[0] == '"':
			e.content, err = strconv.Unquote(word)
		case key == "char" || key == "block":
			e.kind = key
			_, err = fmt.Sscanf(value, "%d:%d", &e.major, &e.minor)
		case key == "mode":
			_, err = fmt.Sscanf(value, "%o", &mode)
		case key == "own":
			_, err = fmt.Sscanf(value, "%d:%d", &e.uid, &e.gid)
		case key == "mtime":
			_, err = fmt.Sscanf(value, "%d", &e.mtime)
		case key == "size":
			_, err = fmt.Sscanf(value, "%d", &e.size)
		case strings.Contains(key, "."):
			e.xattrs[key] = unquoted(value)
		default:
			err = fmt.Errorf("word %q means nothing", word)
		}
	}
	e.mode = plainest(e.kind)
	if mode >= 0 {
		e.mode = uint32(mode)
	}
	return e, err
}

// split cuts a line at spaces that are not inside quotes.
func split(line string) ([]string, error) {
	var words []string
	for line = strings.TrimLeft(line, " \t"); line != ""; line = strings.TrimLeft(line, " \t") {
		end := strings.IndexAny(line, " \t\"")
		if end >= 0 && line[end] == '"' {
			q, err := strconv.QuotedPrefix(line[end:])
			if err != nil {
				return nil, err
			}
			end += len(q)
		}
		if end < 0 {
			end = len(line)
		}
		words = append(words, line[:end])
		line = line[end:]
	}
	return words, nil
}

func unquoted(s string) string {
	if u, err := strconv.Unquote(s); err == nil {
		return u
	}
	return s
}

func (e entry) make(dir string) error {
	path := filepath.Join(dir, e.path)
	var err error
	switch e.kind {
	case "dir":
		err = os.MkdirAll(path, 0o700)
	case "file":
		err = errors.Join(os.WriteFile(path, []byte(e.content), 0o600), e.grow(path))
	case "symlink":
		err = os.Symlink(e.target, path)
	case "hardlink":
		return os.Link(filepath.Join(dir, e.target), path)
	case "fifo":
		err = unix.Mkfifo(path, 0o600)
	case "char":
		err = unix.Mknod(path, unix.S_IFCHR, int(unix.Mkdev(e.major, e.minor)))
	case "block":
		err = unix.Mknod(path, unix.S_IFBLK, int(unix.Mkdev(e.major, e.minor)))
	}
	if err != nil {
		return err
	}
	return e.setMetadata(path)
}

func (e entry) grow(path string) error {
	if e.size == 0 {
		return nil
	}
	return os.Truncate(path, e.size)
}

func (e entry) setMetadata(path string) error {
	if e.uid != 0 || e.gid != 0 {
		if err := os.Lchown(path, e.uid, e.gid); err != nil {
			return err
		}
	}
	if e.kind != "symlink" {
		if err := unix.Chmod(path, e.mode); err != nil {
			return err
		}
	}
	for name, value := range e.xattrs {
		if err := unix.Lsetxattr(path, name, []byte(value), 0); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	return nil
}

func (e entry) setTime(dir string) error {
	at := []unix.Timespec{{Sec: e.mtime}, {Sec: e.mtime}}
	return unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(dir, e.path), at, unix.AT_SYMLINK_NOFOLLOW)
}
