package source

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"

	"github.com/moby/sys/user"
	"golang.org/x/sys/unix"
)

const maxUserFile = 10 << 20 // bytes

// Owner is a user and a group by number.
type Owner struct{ UID, GID int }

// LookupOwner resolves a --chown, "user" or "user:group" by name or number, with the names in /etc/passwd and /etc/group
// of the tree at root. Without a group a number counts for both, and a name brings its primary group.
func LookupOwner(root, spec string) (Owner, error) {
	r, err := openRoot(root)
	if err != nil {
		return Owner{}, err
	}
	defer r.Close()
	name, group, _ := strings.Cut(spec, ":")
	o, err := r.lookupUser(name)
	if err == nil && group != "" {
		o.GID, err = r.lookupGroup(group)
	}
	if err != nil {
		return Owner{}, fmt.Errorf("owner %q: %w", spec, err)
	}
	return o, nil
}

// parseID reads a number. As in docker "root" needs no file.
func parseID(s string) (id int, ok bool, err error) {
	if s == "root" || s == "" {
		return 0, true, nil
	}
	n, err := strconv.ParseInt(s, 10, 32)
	if errors.Is(err, strconv.ErrRange) || err == nil && n < 0 {
		return 0, false, fmt.Errorf("%s is no valid number of a user or group", s)
	}
	return int(n), err == nil, nil
}

func (r *root) lookupUser(name string) (Owner, error) {
	id, ok, err := parseID(name)
	if ok || err != nil {
		return Owner{UID: id, GID: id}, err
	}
	var users []user.User
	err = r.readUserFile("etc/passwd", func(f io.Reader) (err error) {
		users, err = user.ParsePasswdFilter(f, func(u user.User) bool { return u.Name == name })
		return err
	})
	if err != nil {
		return Owner{}, fmt.Errorf("user %q: %w", name, err)
	}
	if len(users) == 0 {
		return Owner{}, fmt.Errorf("there is no user %q in /etc/passwd", name)
	}
	return Owner{UID: users[0].Uid, GID: users[0].Gid}, nil
}

func (r *root) lookupGroup(name string) (int, error) {
	id, ok, err := parseID(name)
	if ok || err != nil {
		return id, err
	}
	var groups []user.Group
	err = r.readUserFile("etc/group", func(f io.Reader) (err error) {
		groups, err = user.ParseGroupFilter(f, func(g user.Group) bool { return g.Name == name })
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("group %q: %w", name, err)
	}
	if len(groups) == 0 {
		return 0, fmt.Errorf("there is no group %q in /etc/group", name)
	}
	return groups[0].Gid, nil
}

// readUserFile gives a regular file in the root to parse.
func (r *root) readUserFile(name string, parse func(io.Reader) error) error {
	at, err := r.resolve(name)
	if err != nil {
		return err
	}
	if !at.found || !at.meta.isRegular() {
		return fmt.Errorf("/%s is missing: %w", name, fs.ErrNotExist)
	}
	f, err := r.open(at.path, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return err
	}
	defer f.Close()
	return parse(io.LimitReader(f, maxUserFile))
}
