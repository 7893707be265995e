package run_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestNothingOfTheContainerStaysInTheLayer(t *testing.T) {
	tests := []struct {
		name    string
		prepare func(lower string) error
		script  string
		want    string // tree of the upper directory
	}{
		{"empty base", nil, "true", ""},
		{"base with users", withUsers, "true", "d 755 etc\n"}, // copied up, and equal to the one below
		{"base with everything", withAll, "true", ""},
		{"command that writes", nil, "echo x > /x", "f 644 x\n"},
		{"command that writes beside the mount points", nil, "echo x > /etc/x", "d 755 etc\nf 644 etc/x\n"},
		{"command that fails", nil, "exit 1", ""},
		{"resolv.conf is a relative link", linkedResolvConf("../run/systemd/resolve/stub-resolv.conf"), "cat /etc/resolv.conf; mkdir /run/x", "d 755 run\nd 755 run/x\n"},
		{"resolv.conf is an absolute link", linkedResolvConf("/run/systemd/resolve/stub-resolv.conf"), "true", ""},
		{"resolv.conf leads out of the root", linkedResolvConf("../../../../../../../../out/resolv.conf"), "true", ""},
		{"etc is a link", func(lower string) error {
			return os.Symlink("../../../../../../tmp/lbuild-escape", filepath.Join(lower, "etc"))
		}, "true", ""},
		{"mount points moved by the command", nil, "mv /etc /moved", "d 755 moved\nf 644 moved/hosts\nf 644 moved/resolv.conf\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var prepare []func(string) error
			if tt.prepare != nil {
				prepare = append(prepare, tt.prepare)
			}
			m := newMachine(t, prepare...)
			err := m.runtime.Run(t.Context(), m.shell(tt.script))
			if err != nil && !strings.Contains(tt.script, "exit") {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, sorted(tree(t, m.upper))); diff != "" {
				t.Errorf("upper (-want +got):\n%s", diff)
			}
			if _, err := os.Lstat("/tmp/lbuild-escape"); err == nil {
				t.Error("a mount point was made outside of the root")
			}
			m.checkNothingLeft(t)
		})
	}
}

func linkedResolvConf(target string) func(string) error {
	return func(lower string) error {
		if err := os.MkdirAll(filepath.Join(lower, "etc"), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(lower, "etc/hosts"), nil, 0o644); err != nil {
			return err
		}
		return os.Symlink(target, filepath.Join(lower, "etc/resolv.conf"))
	}
}

func withAll(lower string) error {
	for _, dir := range []string{"proc", "sys", "dev", "etc"} {
		if err := os.MkdirAll(filepath.Join(lower, dir), 0o755); err != nil {
			return err
		}
	}
	for _, file := range []string{"etc/hosts", "etc/resolv.conf"} {
		if err := os.WriteFile(filepath.Join(lower, file), nil, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func sorted(lines string) string {
	if lines == "" {
		return ""
	}
	all := strings.SplitAfter(strings.TrimSuffix(lines, "\n"), "\n")
	all[len(all)-1] += "\n"
	slices.Sort(all)
	return strings.Join(all, "")
}

func TestTimesOfDirectoriesAreThoseOfTheCommand(t *testing.T) {
	m := newMachine(t, withUsers)
	before := modTime(t, m.root)
	must(t, m.runtime.Run(t.Context(), m.shell("true")))
	if got := modTime(t, m.root); !got.Equal(before) {
		t.Errorf("the root's time is %v after a command that changes nothing, want %v", got, before)
	}
	must(t, m.runtime.Run(t.Context(), m.shell("touch -d @1234567890 /etc")))
	if got, want := modTime(t, filepath.Join(m.root, "etc")), time.Unix(1234567890, 0); !got.Equal(want) {
		t.Errorf("the time that the command set is %v, want %v", got, want)
	}
}

func modTime(t testing.TB, path string) time.Time {
	t.Helper()
	info, err := os.Stat(path)
	must(t, err)
	return info.ModTime()
}
