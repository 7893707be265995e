package diff

import (
	"bytes"
	"errors"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// xattrMax is the kernel's limit, for the value of one attribute and for the list of all names.
const xattrMax = 64 << 10

// marks are the overlay attributes of one entry.
type marks struct {
	opaque   byte   // 'y' hides the lower layers, 'x' only allows whiteouts that are attributes
	redirect string // where the lower content lives: a name in the same directory, or a path from the root
	metacopy bool   // the bytes live in a lower layer
	whiteout bool   // on an empty file below an opaque 'x': the name is deleted
	nlink    string // on a file of a mount with index=on that has several names
}

// attrs are all attributes of one entry, told apart.
type attrs struct {
	own   []Xattr // those of the file, sorted
	marks marks
}

// xattrReader reads attributes of entries. It knows which of overlay's two namespaces the mount uses; in the other
// one the same names are the file's own.
type xattrReader struct {
	prefix string // "trusted.overlay." or "user.overlay."
	buf    []byte
}

func newXattrReader(user bool) *xattrReader {
	r := &xattrReader{prefix: "trusted.overlay.", buf: make([]byte, 2*xattrMax)}
	if user {
		r.prefix = "user.overlay."
	}
	return r
}

// read returns the attributes of an entry; a file system without any has none.
func (r *xattrReader) read(d *dir, name string) (attrs, error) {
	path, err := d.through(name)
	if err != nil {
		return attrs{}, err
	}
	n, err := unix.Llistxattr(path, r.buf[:xattrMax])
	if errors.Is(err, unix.ENOTSUP) || n == 0 && err == nil {
		return attrs{}, nil
	}
	if err != nil {
		return attrs{}, err
	}
	var a attrs
	for key := range bytes.SplitSeq(bytes.TrimSuffix(r.buf[:n], []byte{0}), []byte{0}) {
		if err := r.sort(path, string(key), &a); err != nil {
			return attrs{}, err
		}
	}
	slices.SortFunc(a.own, func(a, b Xattr) int { return strings.Compare(a.Name, b.Name) })
	return a, nil
}

// sort puts one attribute where it belongs.
func (r *xattrReader) sort(path, key string, a *attrs) error {
	mark, isOverlay := strings.CutPrefix(key, r.prefix)
	nested := strings.HasPrefix(mark, "overlay.")
	if isOverlay && !nested {
		return r.mark(path, key, mark, &a.marks)
	}
	if ofTheHost(key) {
		return nil
	}
	value, err := r.value(path, key)
	if err != nil {
		return err
	}
	if isOverlay {
		// The kernel escapes the marks of an overlay inside the overlay with one more "overlay.".
		key = r.prefix + strings.TrimPrefix(mark, "overlay.")
	}
	a.own = append(a.own, Xattr{Name: key, Value: portable(key, value)})
	return nil
}

func (r *xattrReader) mark(path, key, mark string, m *marks) error {
	switch mark {
	case "opaque", "redirect", "nlink":
		value, err := r.value(path, key)
		if err != nil {
			return err
		}
		m.set(mark, value)
	case "metacopy":
		m.metacopy = true
	case "whiteout":
		m.whiteout = true
	}
	return nil
}

func (m *marks) set(mark, value string) {
	switch {
	case mark == "redirect":
		m.redirect = value
	case mark == "nlink":
		m.nlink = value
	case len(value) == 1:
		m.opaque = value[0]
	}
}

func (r *xattrReader) value(path, key string) (string, error) {
	buf := r.buf[xattrMax:]
	n, err := unix.Lgetxattr(path, key, buf)
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

// ofTheHost reports attributes that say something about the machine rather than the file.
func ofTheHost(key string) bool {
	switch key {
	case "security.selinux", "security.ima", "security.evm":
		return true
	}
	return strings.HasPrefix(key, "system.nfs4")
}

const (
	capName      = "security.capability"
	capRevision2 = 2
	capRevision3 = 3
	capSize2     = 20 // bytes: revision, and two words each of permitted and inheritable
	capSize3     = 24 // the same, and the user that is root in the namespace of the file
)

// portable turns capabilities that are bound to one user namespace into those of any.
func portable(key, value string) string {
	if key != capName || len(value) != capSize3 || value[3] != capRevision3 {
		return value
	}
	return value[:3] + string(rune(capRevision2)) + value[4:capSize2]
}
