package source

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// mtime is the time that a copy of m gets.
func (c *copier) mtime(m *meta) unix.Timespec {
	if c.opts.Epoch == nil {
		return m.mtime
	}
	epoch := timespec(*c.opts.Epoch)
	if c.opts.Exact || later(m.mtime, epoch) {
		return epoch
	}
	return m.mtime
}

func timespec(t time.Time) unix.Timespec {
	return unix.Timespec{Sec: t.Unix(), Nsec: int64(t.Nanosecond())}
}

func later(a, b unix.Timespec) bool {
	return cmp.Or(cmp.Compare(a.Sec, b.Sec), cmp.Compare(a.Nsec, b.Nsec)) > 0
}

// setTime sets the mtime of an entry, which may be a link; the access time stays.
func (c *copier) setTime(dir *os.File, name string, m *meta) error {
	return setTimeAt(dir, name, c.mtime(m))
}

func setTimeAt(dir *os.File, name string, mtime unix.Timespec) error {
	times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, mtime}
	if err := unix.UtimesNanoAt(int(dir.Fd()), name, times, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &os.PathError{Op: "set time", Path: name, Err: err}
	}
	return nil
}

// clampTouched moves the times of directories that got an entry back to the epoch, so that the tree shows what its layer
// says. Others keep theirs: a change would bring them into the layer.
func (c *copier) clampTouched() error {
	if c.opts.Epoch == nil {
		return nil
	}
	slices.Sort(c.touched)
	for _, name := range slices.Compact(c.touched) {
		if err := c.clampDir(name, timespec(*c.opts.Epoch)); err != nil {
			return err
		}
	}
	return nil
}

func (c *copier) clampDir(name string, epoch unix.Timespec) error {
	dir, err := c.root.open(name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	var st unix.Stat_t
	err = unix.Fstat(int(dir.Fd()), &st)
	if err == nil && later(st.Mtim, epoch) {
		err = setTimeAt(dir, ".", epoch)
	}
	return errors.Join(err, dir.Close())
}

// touchedDirs are the directories of a root that entries of an archive go into, or that are made for them.
type touchedDirs struct {
	root  *root
	names map[string]bool // canonical
}

// note is told of an entry before it is made. What is wrong with its path is said by whoever makes it.
func (d *touchedDirs) note(entry string) {
	parent, err := d.root.resolve(path.Dir(path.Clean("/" + entry)))
	if err != nil {
		return
	}
	for name := parent.path; ; name = path.Dir(name) {
		d.names[name] = true
		if _, _, err := d.root.look(name); err == nil || name == "." {
			return
		}
	}
}

// left are those that are directories still: an entry may have taken the place of one.
func (d *touchedDirs) left() ([]string, error) {
	var names []string
	for name := range d.names {
		m, _, err := d.root.look(name)
		switch {
		case errors.Is(err, fs.ErrNotExist) || isNoDir(err):
		case err != nil:
			return nil, err
		case m.isDir():
			names = append(names, name)
		}
	}
	return names, nil
}
