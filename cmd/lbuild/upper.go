package main

import (
	"errors"
	"fmt"

	"github.com/moby/sys/userns"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"github.com/lbuild/lbuild/diff"
)

// upperFlags name the directories of an overlay mount.
type upperFlags struct {
	upper     string
	lower     []string
	userXattr bool
}

func (f *upperFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.upper, "upper", "", "upper `directory` of an overlay mount")
	flags.StringArrayVar(&f.lower, "lower", nil, "lower directories, topmost first, as `DIR[:DIR]` like in the mount option; repeatable")
	flags.BoolVar(&f.userXattr, "userxattr", false, "the mount has the option userxattr")
}

// options turns the flags into those of the walk. Its errors are usage errors.
func (f *upperFlags) options() (diff.UpperOptions, error) {
	opts := diff.UpperOptions{Upper: f.upper, UserXattr: f.userXattr}
	if f.upper == "" {
		return opts, errors.New("--upper DIR is missing")
	}
	for _, list := range f.lower {
		dirs := splitLower(list)
		for _, dir := range dirs {
			if dir == "" {
				return opts, fmt.Errorf("--lower %q has an empty name", list)
			}
		}
		opts.Lower = append(opts.Lower, dirs...)
	}
	return opts, nil
}

// splitLower cuts a list at colons. As in the mount option, a backslash takes the meaning from what follows it.
func splitLower(list string) []string {
	dirs := []string{""}
	for i := 0; i < len(list); i++ {
		last := len(dirs) - 1
		switch {
		case list[i] == ':':
			dirs = append(dirs, "")
			continue
		case list[i] == '\\' && i+1 < len(list):
			i++
		}
		dirs[last] += list[i : i+1]
	}
	return dirs
}

// marksAreReadable refuses a walk that would miss marks: the kernel hides trusted attributes from those who may not see
// them, and then what is deleted looks as if it was not.
func (f *upperFlags) marksAreReadable() error {
	if f.userXattr || seesTrusted() {
		return nil
	}
	return errors.New("only root can read overlay's marks in trusted attributes; " +
		"for a mount with the option userxattr they are elsewhere, then use --userxattr")
}

// seesTrusted reports whether this process has CAP_SYS_ADMIN in the first user namespace.
func seesTrusted() bool {
	var caps [2]unix.CapUserData
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := unix.Capget(&hdr, &caps[0]); err != nil {
		return false
	}
	return caps[0].Effective&(1<<unix.CAP_SYS_ADMIN) != 0 && !userns.RunningInUserNS()
}
