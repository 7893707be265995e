package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"
)

// strict makes a missing privilege or program a failure: set where everything is known to be installed.
var strict = os.Getenv("LBUILD_TEST_STRICT") == "1"

// programs are what TestMain built for all tests.
var programs struct {
	dir    string // removed at the end
	lbuild string
	base   string // an OCI layout of busybox, as base images for --build-context base=…
}

func TestMain(m *testing.M) {
	code, err := setUp(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "integration:", err)
		code = 1
	}
	os.Exit(code)
}

func setUp(m *testing.M) (code int, err error) {
	if os.Geteuid() != 0 {
		if strict {
			return 1, errors.New("these tests need root")
		}
		return m.Run(), nil
	}
	dir, err := os.MkdirTemp("", "lbuild-integration-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	programs.dir = dir
	if err := build(dir); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

// build puts lbuild and runc into dir, and makes the base image with them.
func build(dir string) error {
	programs.lbuild = filepath.Join(dir, "bin", "lbuild")
	for _, args := range [][]string{
		{"go", "build", "-o", programs.lbuild, "./cmd/lbuild"},
		{"go", "build", "-tags", "seccomp", "-o", filepath.Join(dir, "bin", "runc"), "github.com/opencontainers/runc"},
	} {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir = ".."
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, out)
		}
	}
	return makeBase(dir)
}

// baseBuildfile makes an image with busybox, /etc/passwd and the directories that an image usually has.
const baseBuildfile = `FROM scratch
COPY --chmod=755 busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
RUN mkdir -p /etc /tmp /root /home/app && chmod 1777 /tmp && chown 1000:1000 /home/app
COPY <<passwd <<group /etc/
root:x:0:0:root:/root:/bin/sh
app:x:1000:1000:app:/home/app:/bin/sh
passwd
root:x:0:
app:x:1000:
extra:x:2000:app
group
CMD ["sh"]
`

// epoch is the SOURCE_DATE_EPOCH of the base image, whose bytes depend on the busybox alone.
const epoch = 1700000000

func makeBase(dir string) error {
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return errors.New("busybox-static is missing: apt-get install busybox-static")
	}
	ctx := filepath.Join(dir, "base-context")
	data, err := os.ReadFile(busybox)
	if err != nil {
		return err
	}
	for name, data := range map[string][]byte{"busybox": data, "Buildfile": []byte(baseBuildfile)} {
		if err := writeFile(filepath.Join(ctx, name), data, 0o755); err != nil {
			return err
		}
		if err := os.Chtimes(filepath.Join(ctx, name), time.Time{}, time.Unix(epoch, 0)); err != nil {
			return err
		}
	}
	programs.base = filepath.Join(dir, "base")
	out, err := exec.Command(programs.lbuild, "--root", filepath.Join(dir, "base-root"),
		"--source-date-epoch", fmt.Sprint(epoch), "-t", "base:latest", "-o", "type=oci,tar=false,dest="+programs.base, ctx).CombinedOutput()
	if err != nil {
		return fmt.Errorf("build the base image: %w\n%s", err, out)
	}
	return nil
}

func writeFile(name string, data []byte, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, data, mode)
}

// lab is a store root of its own and a directory for files, both gone when the test ends.
type lab struct {
	testing.TB
	dir  string // working directory of all commands
	root string
	env  []string // added to the environment of all commands
}

func newLab(t testing.TB) *lab {
	t.Helper()
	if programs.lbuild == "" {
		t.Skip("needs root")
	}
	l := &lab{TB: t, dir: t.TempDir()}
	l.root = filepath.Join(l.dir, "root")
	t.Cleanup(l.checkClean)
	return l
}

// checkClean fails the test when it leaves a mount, and takes it away so that the directory can go.
func (l *lab) checkClean() {
	for _, dir := range l.mounts() {
		l.Errorf("left mounted: %s", dir)
		_ = exec.Command("umount", "-l", dir).Run()
	}
}

// mounts lists what is mounted below the lab's directory, deepest first.
func (l *lab) mounts() []string {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		l.Fatal(err)
	}
	var dirs []string
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) > 4 && strings.HasPrefix(f[4], l.dir+"/") {
			dirs = append([]string{f[4]}, dirs...)
		}
	}
	return dirs
}

// result is how a command ended.
type result struct {
	stdout, stderr string
	code           int
}

// lbuild runs the program with the lab's root; base is a named context in every build.
func (l *lab) lbuild(args ...string) result {
	l.Helper()
	return l.exec(programs.lbuild, append([]string{"--root", l.root}, args...)...)
}

// build is lbuild for the context in dir, with the base image as "base".
func (l *lab) build(dir string, args ...string) result {
	l.Helper()
	args = append([]string{"build", "--build-context", "base=oci-layout://" + programs.base}, args...)
	return l.lbuild(append(args, dir)...)
}

// mustBuild is build, and fails the test where the build fails. It returns the manifest's digest.
func (l *lab) mustBuild(dir string, args ...string) string {
	l.Helper()
	r := l.build(dir, args...)
	if r.code != 0 {
		l.Fatalf("build failed with status %d:\n%s", r.code, r.stderr)
	}
	return strings.TrimSpace(r.stdout)
}

// exec runs any program in the lab's directory, for two minutes at most.
func (l *lab) exec(name string, args ...string) result {
	l.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = l.dir, append(os.Environ(), l.env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		l.Fatalf("%s: %v", name, err)
	}
	return result{stdout: out.String(), stderr: errs.String(), code: cmd.ProcessState.ExitCode()}
}

// must is exec for programs that should succeed; it returns their stdout.
func (l *lab) must(name string, args ...string) string {
	l.Helper()
	r := l.exec(name, args...)
	if r.code != 0 {
		l.Fatalf("%s %s: status %d\n%s%s", name, strings.Join(args, " "), r.code, r.stdout, r.stderr)
	}
	return r.stdout
}

// context writes a directory from a txtar archive and returns its path. A name that ends in a slash is a directory.
func (l *lab) context(archive string) string {
	l.Helper()
	dir, err := os.MkdirTemp(l.dir, "context-")
	if err != nil {
		l.Fatal(err)
	}
	l.write(dir, archive)
	return dir
}

// write puts the files of a txtar archive below dir.
func (l *lab) write(dir, archive string) {
	l.Helper()
	for _, f := range txtar.Parse([]byte(archive)).Files {
		name := filepath.Join(dir, f.Name)
		var err error
		if strings.HasSuffix(f.Name, "/") {
			err = os.MkdirAll(name, 0o755)
		} else {
			err = writeFile(name, f.Data, 0o644)
		}
		if err != nil {
			l.Fatal(err)
		}
	}
}

// need skips the test where a program is missing, or fails it where none may be missing.
func (l *lab) need(programs ...string) {
	l.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err == nil {
			continue
		}
		if strict {
			l.Fatalf("needs %s, which is not installed", p)
		}
		l.Skipf("needs %s, which is not installed", p)
	}
}

// registry starts Debian's docker-registry on a free port of loopback and returns its address. Further lines of its
// configuration may be given.
func (l *lab) registry(config ...string) string {
	l.Helper()
	l.need("docker-registry")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		l.Fatal(err)
	}
	addr := listener.Addr().String()
	if err := listener.Close(); err != nil {
		l.Fatal(err)
	}
	text := fmt.Sprintf("version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: %s\n  delete:\n    enabled: true\nhttp:\n  addr: %s\n%s\n",
		filepath.Join(l.dir, "registry"), addr, strings.Join(config, "\n"))
	file := filepath.Join(l.dir, "registry.yml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		l.Fatal(err)
	}
	cmd := exec.Command("docker-registry", "serve", file)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for range 100 {
		if resp, err := http.Get("http://" + addr + "/v2/"); err == nil {
			_ = resp.Body.Close()
			return addr
		}
		time.Sleep(50 * time.Millisecond)
	}
	l.Fatalf("the registry does not answer:\n%s", log.String())
	return ""
}
