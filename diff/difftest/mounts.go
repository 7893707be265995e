package difftest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Mount is a kind of overlay mount. The zero value has marks in trusted.overlay., the lower directories that a trial
// needs and no others, and every option off that lets the kernel keep content outside the upper directory.
type Mount struct {
	// UserXattr mounts with userxattr. Trials that need options which the kernel refuses beside it do not run.
	UserXattr bool
	// Options are mount options, such as index=on. Those that a trial states win.
	Options []string
	// Depth is the least number of lower directories. Empty ones above and below those of a trial make it up.
	Depth int
	// Tmpfs has all directories on a tmpfs.
	Tmpfs bool
}

// String names the kind of mount.
func (m Mount) String() string {
	words := []string{"trusted"}
	if m.UserXattr {
		words[0] = "user"
	}
	words = append(words, m.Options...)
	if m.Depth > 1 {
		words = append(words, fmt.Sprintf("%d lower", m.Depth))
	}
	if m.Tmpfs {
		words = append(words, "tmpfs")
	}
	return strings.Join(words, ",")
}

// Mounts returns the kinds of mounts worth trying: each value of each property, with each of those that could matter
// to it.
func Mounts() []Mount {
	kept := []string{"index=on", "metacopy=on", "redirect_dir=on"}
	return []Mount{
		{},
		{Depth: 2, Options: []string{"volatile"}},
		{Depth: 120},
		{Tmpfs: true},
		{Options: kept},
		{Options: kept, Depth: 120, Tmpfs: true},
		{Options: []string{"index=on"}, Depth: 2, Tmpfs: true},
		{Options: []string{"redirect_dir=on", "volatile"}, Depth: 2},
		{UserXattr: true},
		{UserXattr: true, Depth: 120, Tmpfs: true},
		{UserXattr: true, Depth: 2, Options: []string{"index=on", "volatile"}},
	}
}

// UserMounts returns those of Mounts that a user namespace of its own can have.
func UserMounts() []Mount {
	return slices.DeleteFunc(Mounts(), func(m Mount) bool { return !m.UserXattr || len(m.Options) > 0 })
}

// place is where the trials of one kind of mount run.
type place struct {
	mount   Mount
	dir     string
	fillers []string // empty lower directories
}

func newPlace(base string, i int, m Mount) (place, error) {
	p := place{mount: m, dir: filepath.Join(base, fmt.Sprint(i))}
	if err := os.Mkdir(p.dir, 0o755); err != nil {
		return p, err
	}
	if m.Tmpfs {
		if err := unix.Mount("tmpfs", p.dir, "tmpfs", 0, "mode=755"); err != nil {
			return p, fmt.Errorf("tmpfs: %w", err)
		}
	}
	for n := range m.Depth {
		dir := filepath.Join(p.dir, fmt.Sprintf("e%d", n))
		if err := os.Mkdir(dir, 0o755); err != nil {
			return p, err
		}
		if err := os.Chtimes(dir, time.Unix(0, 0), time.Unix(0, 0)); err != nil {
			return p, err
		}
		p.fillers = append(p.fillers, dir)
	}
	return p, nil
}

func (p place) close() error {
	if p.mount.Tmpfs {
		return unix.Unmount(p.dir, 0)
	}
	return nil
}

// deepen adds empty directories above and below the lower ones of a trial.
func (p place) deepen(lower []string) []string {
	missing := max(0, p.mount.Depth-len(lower))
	return slices.Concat(p.fillers[:missing/2], lower, p.fillers[missing/2:missing])
}

// options are those of the mount, where a trial does not state its own.
func (p place) options(t trial) []string {
	opts := slices.Clone(t.mount)
	for _, o := range p.mount.Options {
		key, _, _ := strings.Cut(o, "=")
		if !slices.ContainsFunc(opts, func(own string) bool { return own == key || strings.HasPrefix(own, key+"=") }) {
			opts = append(opts, o)
		}
	}
	if p.mount.UserXattr {
		opts = append(opts, "userxattr")
	}
	return opts
}

// allows reports whether the kernel takes the options of a trial on such a mount.
func (p place) allows(t trial) bool {
	if !p.mount.UserXattr {
		return true
	}
	return !t.trusted && !slices.ContainsFunc(t.mount, func(o string) bool {
		return strings.HasPrefix(o, "metacopy=on") || strings.HasPrefix(o, "redirect_dir=on")
	})
}
