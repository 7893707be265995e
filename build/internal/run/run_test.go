package run_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/lbuild/lbuild/build/internal/run"
)

func TestCommandSeesItsSettings(t *testing.T) {
	m := newMachine(t, withUsers)
	tests := []struct {
		name   string
		script string
		change func(*run.Command)
		want   string
	}{
		{"user is root", "id -u; id -g; id -G", nil, "0\n0\n0\n"},
		{"user by name has its groups", "id -u; id -g; id -G", func(c *run.Command) { c.User = "alice" }, "1000\n1000\n1000 50 60\n"},
		{"user with group has no others", "id -u; id -G", func(c *run.Command) { c.User = "alice:staff" }, "1000\n50\n"},
		{"user by number without an entry", "id -u; id -G", func(c *run.Command) { c.User = "4242" }, "4242\n0\n"},
		{"user and group by number", "id -u; id -G", func(c *run.Command) { c.User = "4242:77" }, "4242\n77\n"},
		{"defaults of the environment", "echo $PATH; echo $HOME", nil, "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n/root\n"},
		{"home of the user", "echo $HOME", func(c *run.Command) { c.User = "alice" }, "/home/alice\n"},
		{"home of a user without an entry", "echo $HOME", func(c *run.Command) { c.User = "4242" }, "/\n"},
		{"own environment wins", "echo $HOME $PATH $A", func(c *run.Command) { c.Env = []string{"HOME=/h", "PATH=/bin", "A=b c"} }, "/h /bin b c\n"},
		{"nothing else in the environment", "env -u PWD -u SHLVL | sort", nil, "HOME=/root\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"},
		{"directory is the root", "pwd", nil, "/\n"},
		{"directory", "pwd", func(c *run.Command) { c.Dir = "/home/alice" }, "/home/alice\n"},
		{"host name", "hostname", nil, "lbuild\n"},
		{"own host name", "hostname", func(c *run.Command) { c.Hostname = "box" }, "box\n"},
		{"umask", "umask", nil, "0022\n"},
		{"no input", "cat; echo end", nil, "end\n"},
		{"no terminal", "test -t 0 || test -t 1 || echo none", nil, "none\n"},
		{"first process of its namespace", "echo $$", nil, "1\n"},
		{"only loopback without network", "ip -o link | wc -l; ip -o link | grep -c LOOPBACK", func(c *run.Command) { c.Network = run.NoNetwork }, "1\n1\n"},
		{"no name servers without network", "wc -c < /etc/resolv.conf", func(c *run.Command) { c.Network = run.NoNetwork }, "0\n"},
		{
			"hosts", "cat /etc/hosts", func(c *run.Command) { c.Hosts = []run.Host{{"db", "10.0.0.7"}, {"six", "fe80::1"}} },
			"127.0.0.1\tlocalhost lbuild\n::1\tlocalhost ip6-localhost ip6-loopback\n10.0.0.7\tdb\nfe80::1\tsix\n",
		},
		{"hosts is read-only", "(echo x >> /etc/hosts) 2>/dev/null || echo refused", nil, "refused\n"},
		{"shared memory", "df -k /dev/shm | grep -c 65536", nil, "1\n"},
		{"size of shared memory", "df -k /dev/shm | grep -c 2048", func(c *run.Command) { c.ShmSize = 2 << 20 }, "1\n"},
		{"file of one command", "/dev/pipes/x; stat -c %a /dev/pipes/x", func(c *run.Command) {
			c.Files = []run.File{{"/dev/pipes/x", []byte("#!/bin/sh\necho $0 ran\n")}}
		}, "/dev/pipes/x ran\n755\n"},
		{"kernel files are masked", "wc -c < /proc/interrupts", nil, "0\n"},
		{"kernel settings are read-only", "(echo 1 > /proc/sys/kernel/panic) 2>/dev/null || echo refused", nil, "refused\n"},
		{"capabilities of docker", "grep CapEff /proc/self/status", nil, "CapEff:\t00000000a80425fb\n"},
		{"no capabilities for others", "grep CapEff /proc/self/status", func(c *run.Command) { c.User = "alice" }, "CapEff:\t0000000000000000\n"},
		{"new privileges are possible", "grep NoNewPrivs /proc/self/status", nil, "NoNewPrivs:\t0\n"},
		{"system calls are filtered", "grep Seccomp: /proc/self/status", nil, "Seccomp:\t2\n"},
		{"mounting is refused", "mount -t tmpfs none /bin 2>/dev/null || echo refused", nil, "refused\n"},
		{"device nodes can be made", "mknod /null c 1 3 && rm /null && echo made", nil, "made\n"},
		{"own cgroup namespace", "grep -c lbuild- /proc/self/cgroup || true", nil, "0\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := m.shell(tt.script)
			if tt.change != nil {
				tt.change(&c)
			}
			if diff := cmp.Diff(tt.want, m.output(t, c)); diff != "" {
				t.Errorf("output (-want +got):\n%s", diff)
			}
		})
	}
	m.checkNothingLeft(t)
}

func withUsers(lower string) error {
	if err := os.MkdirAll(filepath.Join(lower, "etc"), 0o755); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(lower, "home/alice"), 0o755); err != nil {
		return err
	}
	passwd := "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n"
	if err := os.WriteFile(filepath.Join(lower, "etc/passwd"), []byte(passwd), 0o644); err != nil {
		return err
	}
	group := "root:x:0:\nalice:x:1000:\nstaff:x:50:alice\nadm:x:60:bob,alice\n"
	return os.WriteFile(filepath.Join(lower, "etc/group"), []byte(group), 0o644)
}

func TestHostNetworkHasTheMachinesNameServers(t *testing.T) {
	want, err := os.ReadFile("/etc/resolv.conf")
	if err != nil {
		missing(t, err.Error())
	}
	m := newMachine(t)
	if diff := cmp.Diff(string(want), m.output(t, m.shell("cat /etc/resolv.conf"))); diff != "" {
		t.Errorf("resolv.conf (-want +got):\n%s", diff)
	}
}

func TestFailuresHaveTheExitStatusOfAShell(t *testing.T) {
	m := newMachine(t, func(lower string) error {
		return os.WriteFile(filepath.Join(lower, "text"), []byte("no program\n"), 0o644)
	}, func(lower string) error {
		return os.WriteFile(filepath.Join(lower, "garbage"), []byte{1, 2, 3}, 0o755)
	}, func(lower string) error {
		return os.WriteFile(filepath.Join(lower, "script"), []byte("#!/no/such/shell\n"), 0o755)
	})
	tests := []struct {
		name string
		args []string
		code int
		text string
	}{
		{"status", []string{"sh", "-c", "exit 3"}, 3, "exit status 3"},
		{"status of a runtime's own failure", []string{"sh", "-c", "exit 1"}, 1, "exit status 1"},
		{"status 255", []string{"sh", "-c", "exit 255"}, 255, "exit status 255"},
		{"killed", []string{"sh", "-c", "sh -c 'kill -9 $$'; exit $?"}, 137, "SIGKILL"},
		{"not on PATH", []string{"nope"}, 127, `"nope": executable file not found`},
		{"not at its path", []string{"/no/such"}, 127, "no such file or directory"},
		{"not executable", []string{"/text"}, 126, "permission denied"},
		{"a directory", []string{"/bin"}, 126, "/bin"},
		// The kernel refuses these two when the container has started; the reason stands in its output.
		{"no program", []string{"/garbage"}, 255, "exit status 255"},
		{"interpreter missing", []string{"/script"}, 255, "exit status 255"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			exit := m.exitError(t, run.Command{Root: m.root, Scratch: m.scratch, Args: tt.args})
			if exit.Code != tt.code || !strings.Contains(exit.Error(), tt.text) {
				t.Errorf("got code %d, %q; want %d, %q", exit.Code, exit, tt.code, tt.text)
			}
		})
	}
	m.checkNothingLeft(t)
	if got := tree(t, m.upper); got != "" {
		t.Errorf("left in the layer:\n%s", got)
	}
}

func TestImpossibleCommandsAreRefused(t *testing.T) {
	m := newMachine(t)
	tests := []struct {
		name   string
		change func(*run.Command)
		text   string
	}{
		{"no command", func(c *run.Command) { c.Args = nil }, "no command"},
		{"relative root", func(c *run.Command) { c.Root = "root" }, "absolute"},
		{"relative directory", func(c *run.Command) { c.Dir = "a" }, "not absolute"},
		{"unknown user", func(c *run.Command) { c.User = "eve" }, `user "eve"`},
		{"unknown group", func(c *run.Command) { c.User = "0:eve" }, "eve"},
		{"unknown network", func(c *run.Command) { c.Network = "bridge" }, `network "bridge"`},
		{"host without an address", func(c *run.Command) { c.Hosts = []run.Host{{"a", "b"}} }, `host "a"`},
		{"two lines as a host", func(c *run.Command) { c.Hosts = []run.Host{{"a\n1.1.1.1 b", "1.2.3.4"}} }, "/etc/hosts"},
		{"negative shared memory", func(c *run.Command) { c.ShmSize = -1 }, "/dev/shm"},
		{"no scratch directory", func(c *run.Command) { c.Scratch = "/no/such" }, "container scratch"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := m.shell("true")
			tt.change(&c)
			err := m.runtime.Run(t.Context(), c)
			if err == nil || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got error %v, want one with %q", err, tt.text)
			}
		})
	}
	m.checkNothingLeft(t)
}

func TestOutputArrivesWhileTheCommandRuns(t *testing.T) {
	m := newMachine(t)
	c := m.shell("echo first; echo problem >&2; while ! test -e /go; do sleep 0.02; done; printf last")
	seen := make(chan string, 16)
	c.Stdout = writerFunc(func(p []byte) (int, error) { seen <- string(p); return len(p), nil })
	var g errgroup.Group
	g.Go(func() error { return m.runtime.Run(t.Context(), c) })
	if got := receive(t, seen); got != "first\n" {
		t.Errorf("got %q before the end, want the first line", got)
	}
	must(t, os.WriteFile(filepath.Join(m.root, "go"), nil, 0o644))
	if got := receive(t, seen); got != "last" {
		t.Errorf("got %q at the end, want a line without its end", got)
	}
	must(t, g.Wait())
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func receive(t testing.TB, from <-chan string) string {
	t.Helper()
	select {
	case s := <-from:
		return s
	case <-time.After(20 * time.Second):
		t.Fatal("no output in 20 s")
		return ""
	}
}

func TestCommandsRunAtTheSameTime(t *testing.T) {
	m := newMachine(t)
	other := newMachine(t)
	other.scratch = m.scratch // one lease, two stages
	var g errgroup.Group
	for i := range 6 {
		on := []machine{m, other}[i%2]
		if i >= 2 {
			on = newMachine(t)
		}
		g.Go(func() error { return on.runtime.Run(t.Context(), on.shell(fmt.Sprintf("sleep 0.1; echo %d > /n", i))) })
	}
	must(t, g.Wait())
	m.checkNothingLeft(t)
}
