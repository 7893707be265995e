package run_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/lbuild/lbuild/build/internal/run"
)

func TestFind(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"crun", "mine"} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), 0o755))
	}
	must(t, os.WriteFile(filepath.Join(dir, "text"), nil, 0o644))
	tests := []struct {
		name, explicit, path string
		want, text           string
	}{
		{"path", filepath.Join(dir, "mine"), "", filepath.Join(dir, "mine"), ""},
		{"name", "mine", dir, filepath.Join(dir, "mine"), ""},
		{"on PATH", "", dir, filepath.Join(dir, "crun"), ""},
		{"none", "", "/no/such", "", "install runc or crun"},
		{"wrong path", filepath.Join(dir, "other"), dir, "", "no such file"},
		{"not executable", filepath.Join(dir, "text"), dir, "", "permission denied"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("PATH", tt.path)
			got, err := run.Find(tt.explicit)
			if got.Path != tt.want {
				t.Errorf("got %q, want %q", got.Path, tt.want)
			}
			if failed := err != nil; failed != (tt.text != "") || failed && !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got error %v, want one with %q", err, tt.text)
			}
		})
	}
}

// A runtime without seccomp and a machine without cgroups are rare where tests
// run, so a script says what runc 1.5 says there.
func TestFailuresOfTheMachineSayWhatToDo(t *testing.T) {
	tests := []struct{ name, says, want string }{
		{"seccomp", "unable to start container process: error during container init: seccomp: config provided but seccomp not supported", "-tags seccomp"},
		{"cgroups", "unable to start container process: unable to apply cgroup configuration: mkdir /sys/fs/cgroup/pids/x: read-only file system", "writable cgroup file system"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(t)
			m.runtime.Path = filepath.Join(t.TempDir(), "runc")
			script := "#!/bin/sh\nwhile [ \"$1\" != --log ]; do shift; done\n" +
				`echo '{"level":"error","msg":"runc run failed: ` + tt.says + `"}' > "$2"` + "\nexit 1\n"
			must(t, os.WriteFile(m.runtime.Path, []byte(script), 0o755))
			err := m.runtime.Run(t.Context(), m.shell("true"))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want one with %q", err, tt.want)
			}
			m.checkNothingLeft(t)
		})
	}
}

func TestUserFilesOfTheImageAreHostile(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "passwd")
	must(t, os.WriteFile(secret, []byte("outside:x:7:7::/:\n"), 0o644))
	tests := []struct {
		name   string
		passwd func(path string) error
		text   string
	}{
		{"link out of the root", func(path string) error { return os.Symlink("../../../../../.."+secret, path) }, "not in the image's /etc/passwd"},
		{"absolute link", func(path string) error { return os.Symlink(secret, path) }, "not in the image's /etc/passwd"},
		{"magic link", func(path string) error { return os.Symlink("/proc/self/exe", path) }, "not in the image's /etc/passwd"},
		{"circle", func(path string) error { return os.Symlink("passwd", path) }, "too many levels"},
		{"pipe", func(path string) error { return syscall.Mkfifo(path, 0o644) }, "not a regular file"},
		{"directory", func(path string) error { return os.Mkdir(path, 0o755) }, "not a regular file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(t, func(lower string) error {
				return os.Mkdir(filepath.Join(lower, "etc"), 0o755)
			}, func(lower string) error {
				return tt.passwd(filepath.Join(lower, "etc/passwd"))
			})
			c := m.shell("true")
			c.User = "outside"
			err := m.runtime.Run(t.Context(), c)
			if err == nil || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got error %v, want one with %q", err, tt.text)
			}
			m.checkNothingLeft(t)
		})
	}
}
