package diff

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestAttributesOfTheHostAreNotKept(t *testing.T) {
	for key, want := range map[string]bool{
		"security.selinux": true, "security.ima": true, "security.evm": true, "system.nfs4_acl": true, "system.nfs4_dacl": true,
		"security.capability": false, "security.apparmor": false, "system.posix_acl_access": false, "user.security.ima": false,
	} {
		if got := ofTheHost(key); got != want {
			t.Errorf("%s is of the host: %t, want %t", key, got, want)
		}
	}
}

func TestLinksForgetAFileWithItsLastName(t *testing.T) {
	l := links{}
	n := &node{}
	setLinks(&n.st.Nlink, 3)
	for i, want := range []string{"", "a", "a"} {
		c := Change{Path: string(rune('a' + i))}
		if l.join(&c, n); c.Hardlink != want || (len(l) == 0) != (i == 2) {
			t.Errorf("name %d is a link to %q, want %q; %d files are known", i, c.Hardlink, want, len(l))
		}
	}
}

// FuzzRedirect holds the targets of redirects against what a path below a root is: no redirect leads upwards, and a
// relative one stays in its directory.
func FuzzRedirect(f *testing.F) {
	for _, to := range []string{"", "a", "/", "/a/b", "/a//b", "a/b", "..", "/..", "/a/../..", ".", "/a/", "\x00", "a\x00/b", "ü\n"} {
		f.Add(to, "name", "/after", true)
		f.Add(to, "n", "", false)
	}
	f.Fuzz(func(t *testing.T, to, name, after string, absolute bool) {
		if !isName(name) || after != "" && !isAbsolute(after) {
			return
		}
		before := name + after
		if absolute {
			before = "/from" + "/" + before
		}
		l := &lookup{target: before, stop: true}
		if err := l.redirect(to, name, after); err != nil {
			if !errors.Is(err, ErrMark) || l.target != before {
				t.Fatalf("redirect to %q: %v, target %q", to, err, l.target)
			}
			return
		}
		inPlace := strings.Count(l.target, "/") == strings.Count(before, "/") && (l.target[0] == '/') == absolute
		switch {
		case to == "":
			if l.target != before {
				t.Fatalf("no redirect moves %q to %q", before, l.target)
			}
		case to[0] == '/':
			if l.target != to+after || !isAbsolute(l.target) || l.stop {
				t.Fatalf("redirect to %q: target %q", to, l.target)
			}
		case !inPlace || !strings.HasSuffix(l.target, to+after) || !isAbsolute("/"+strings.TrimPrefix(l.target, "/")):
			t.Fatalf("redirect of %q to %q: target %q", before, to, l.target)
		}
	})
}

func isName(s string) bool { return s != "" && s != "." && s != ".." && !strings.Contains(s, "/") }

// isAbsolute reports whether a path starts at a root and goes down only.
func isAbsolute(path string) bool {
	for part := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		if !isName(part) {
			return false
		}
	}
	return path != "" && path[0] == '/'
}

// FuzzPortable compares capabilities before and after, as the kernel reads them.
func FuzzPortable(f *testing.F) {
	v2 := []byte{1, 0, 0, 2, 0, 0x20, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0}
	v3 := append(append([]byte{}, v2...), 0xe8, 3, 0, 0)
	v3[3] = 3
	for _, value := range [][]byte{nil, {1}, v2, v2[:19], v3, v3[:23], append(v3[:24:24], 0)} {
		f.Add("security.capability", string(value))
		f.Add("user.capability", string(value))
	}
	f.Fuzz(func(t *testing.T, key, value string) {
		got := portable(key, value)
		if again := portable(key, got); again != got {
			t.Fatalf("twice: %x, %x", got, again)
		}
		isV3 := len(value) == 24 && binary.LittleEndian.Uint32([]byte(value))>>24 == 3
		if key != "security.capability" || !isV3 {
			if got != value {
				t.Fatalf("%s %x became %x", key, value, got)
			}
			return
		}
		was, is := binary.LittleEndian.Uint32([]byte(value)), binary.LittleEndian.Uint32([]byte(got))
		if len(got) != 20 || is>>24 != 2 || is<<8 != was<<8 || got[4:] != value[4:20] {
			t.Fatalf("%x became %x", value, got)
		}
	})
}

// FuzzLinkCount compares the sum with one that cannot overflow.
func FuzzLinkCount(f *testing.F) {
	for _, mark := range []string{"", "U", "L", "U+0", "U-1", "L-1", "L+2", "x1", "U9999999999", "L-2147483648", "U+2147483647"} {
		f.Add(mark, uint32(2), uint32(3))
	}
	f.Fuzz(func(t *testing.T, mark string, upper, lower uint32) {
		n, base := &node{}, &node{}
		n.attrs.marks.nlink = mark
		setLinks(&n.st.Nlink, upper)
		setLinks(&base.st.Nlink, lower)
		got, err := linkedBelow(n, base)
		if mark == "" && (got || err != nil) {
			t.Fatalf("without a mark: %t, %v", got, err)
		}
		if err != nil && (got || !errors.Is(err, ErrMark)) {
			t.Fatalf("%q: %t, %v", mark, got, err)
		}
		var of byte
		var change int32
		if _, scanErr := fmt.Sscanf(mark+"\n", "%c%d\n", &of, &change); err != nil || mark == "" || scanErr != nil {
			return
		}
		total := int64(upper) + int64(change)
		if of == 'L' {
			total = int64(lower) + int64(change)
		}
		names := max(int64(upper)-1, 0)
		if of == 'U' {
			names = int64(upper) - 1
		}
		if want := total > names; got != want {
			t.Fatalf("%q of a file with %d links over one with %d: %t, want %t", mark, upper, lower, got, want)
		}
	})
}

// setLinks sets a field that has other types on other machines.
func setLinks[T ~uint32 | ~uint64](field *T, count uint32) { *field = T(count) }
