package run

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/moby/sys/user"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// maxUserFile bounds what is read of an image's passwd and group files.
const maxUserFile = 8 << 20

// identity is who a command runs as.
type identity struct {
	user specs.User
	home string
}

// lookUpUser reads name as in USER against the files of the image. A number
// needs no entry in them. Groups of the user are added unless name has one.
func lookUpUser(root, name string) (identity, error) {
	passwd, err := openInRoot(root, "/etc/passwd")
	if err != nil {
		return identity{}, err
	}
	defer passwd.Close()
	group, err := openInRoot(root, "/etc/group")
	if err != nil {
		return identity{}, err
	}
	defer group.Close()
	u, err := user.GetExecUser(name, &user.ExecUser{Home: "/"}, bounded(passwd), bounded(group))
	userName, groupName, _ := strings.Cut(name, ":")
	switch {
	case errors.Is(err, user.ErrNoPasswdEntries):
		return identity{}, fmt.Errorf("user %q is not in the image's /etc/passwd", userName)
	case errors.Is(err, user.ErrNoGroupEntries):
		return identity{}, fmt.Errorf("group %q is not in the image's /etc/group", groupName)
	case err != nil:
		return identity{}, fmt.Errorf("user %q: %w", name, err)
	}
	return newIdentity(u), nil
}

// newIdentity lists the primary group among the supplementary ones too, so
// that a set-gid program cannot shed it.
func newIdentity(u *user.ExecUser) identity {
	id := identity{home: u.Home}
	if id.home == "" {
		id.home = "/"
	}
	id.user.UID, id.user.GID = uint32(u.Uid), uint32(u.Gid)
	id.user.AdditionalGids = []uint32{id.user.GID}
	for _, gid := range u.Sgids {
		if gid != u.Gid {
			id.user.AdditionalGids = append(id.user.AdditionalGids, uint32(gid))
		}
	}
	return id
}

// openInRoot opens a regular file of the image, following links as a process
// inside would. A file that does not exist reads as an empty one.
func openInRoot(root, name string) (*os.File, error) {
	dir, err := os.Open(root)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	// To open a device is to use it, and a FIFO waits: so it is found first.
	place, err := unix.Openat2(int(dir.Fd()), name, &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return os.Open(os.DevNull)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s of the image: %w", name, err)
	}
	found := os.NewFile(uintptr(place), name)
	defer found.Close()
	if info, err := found.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(fmt.Errorf("%s of the image is not a regular file", name), err)
	}
	return os.Open(fmt.Sprintf("/proc/self/fd/%d", place))
}

func bounded(r io.Reader) io.Reader { return io.LimitReader(r, maxUserFile) }
