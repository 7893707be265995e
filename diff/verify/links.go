package verify

import "golang.org/x/sys/unix"

// inode tells the files of one tree apart.
type inode struct{ dev, ino uint64 }

// link is the first name of a file, and the file that has this name in the other tree.
type link struct {
	path  string
	other inode
}

// links are the files of one tree that have several names.
type links map[inode]link

// links compares which names are one file. A file of a lower directory that was copied up and not changed is not in the
// layer: overlayfs has taken it from its other names, and unpacked it still has them.
func (c *comparer) links(p pair) error {
	was, is := inodeOf(p.was), inodeOf(p.is)
	if p.was.Nlink > 1 {
		first := c.want.first(was, p.path, is)
		if first.other != is {
			return difference(p.path, "it is one file with %q, and another one in the layer", first.path)
		}
	}
	if p.is.Nlink > 1 && p.newly {
		first := c.got.first(is, p.path, was)
		if first.other != was {
			return difference(p.path, "it is another file than %q, and one with it in the layer", first.path)
		}
	}
	return nil
}

// first returns the first name of a file, which may be this one.
func (l links) first(id inode, path string, other inode) link {
	if known, ok := l[id]; ok {
		return known
	}
	l[id] = link{path, other}
	return l[id]
}

func inodeOf(st unix.Stat_t) inode { return inode{uint64(st.Dev), st.Ino} }
