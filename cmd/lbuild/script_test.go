package main

import (
	"debug/elf"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"lbuild": main})
}

// TestScripts runs the scripts that need no privilege.
func TestScripts(t *testing.T) {
	runScripts(t, "testdata/script", nil)
}

// TestBuildScripts runs the scripts that build images: as root, in real containers, on a static busybox, and with a real
// registry.
func TestBuildScripts(t *testing.T) {
	busybox := needMachine(t)
	runScripts(t, "testdata/build", func(env *testscript.Env) error {
		return os.Symlink(busybox, filepath.Join(env.WorkDir, ".busybox"))
	})
}

func runScripts(t *testing.T, dir string, setup func(*testscript.Env) error) {
	testscript.Run(t, testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       flag.Lookup("update").Value.String() == "true",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":   exits,
			"busybox": copyBusybox,
			"csv":     checkCSV,

			"registry": startRegistry,
		},
		Setup: func(env *testscript.Env) error {
			env.Setenv("LBUILD_ROOT", filepath.Join(env.WorkDir, "root"))
			env.Setenv("PATH", pathWithRuntime(env.Getenv("PATH")))
			if setup == nil {
				return nil
			}
			return setup(env)
		},
	})
}

// exits runs a command and compares its exit status: exits 2 lbuild --nope.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits STATUS COMMAND [ARGUMENT…]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	err = ts.Exec(args[1], args[2:]...)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// copyBusybox puts a static busybox into a directory.
func copyBusybox(ts *testscript.TestScript, _ bool, args []string) {
	data, err := os.ReadFile(ts.MkAbs(".busybox"))
	ts.Check(err)
	ts.Check(os.WriteFile(filepath.Join(ts.MkAbs(args[0]), "busybox"), data, 0o755))
}

// startRegistry runs Debian's docker-registry on loopback until the script ends, and puts its host into $REGISTRY.
func startRegistry(ts *testscript.TestScript, _ bool, _ []string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	host := listener.Addr().String()
	ts.Check(listener.Close())
	config := fmt.Sprintf("version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: %q}\n",
		ts.MkAbs("registry"), host)
	ts.Check(os.WriteFile(ts.MkAbs("registry.yml"), []byte(config), 0o600))
	cmd := exec.Command("docker-registry", "serve", ts.MkAbs("registry.yml"))
	ts.Check(cmd.Start())
	ts.Defer(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for range 400 {
		if conn, err := net.Dial("tcp", host); err == nil {
			ts.Check(conn.Close())
			ts.Setenv("REGISTRY", host)
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	ts.Fatalf("docker-registry does not answer within 10 s")
}

// pathWithRuntime adds the runc that make built, behind the lbuild of this test.
func pathWithRuntime(path string) string {
	bin, err := filepath.Abs("../../bin")
	if err != nil {
		return path
	}
	return path + string(filepath.ListSeparator) + bin
}

// needMachine ends a test on a machine that cannot build, and returns the path of a static busybox.
func needMachine(t testing.TB) string {
	t.Helper()
	busybox, err := machine()
	if err != nil && os.Getenv("LBUILD_TEST_STRICT") == "1" {
		t.Fatalf("missing: %v", err)
	}
	if err != nil {
		t.Skipf("missing: %v", err)
	}
	return busybox
}

func machine() (busybox string, err error) {
	if os.Geteuid() != 0 {
		return "", errors.New("root, for mounts and containers")
	}
	if busybox, err = exec.LookPath("busybox"); err != nil {
		return "", errors.New("busybox (Debian's busybox-static)")
	}
	if busybox, err = filepath.EvalSymlinks(busybox); err != nil {
		return "", err
	}
	if err := static(busybox); err != nil {
		return "", err
	}
	if _, err := exec.LookPath("docker-registry"); err != nil {
		return "", errors.New("docker-registry (Debian's package of that name)")
	}
	for _, name := range []string{"../../bin/runc", "runc", "crun"} {
		if _, err := exec.LookPath(name); err == nil {
			return busybox, nil
		}
	}
	return "", errors.New("runc (make build) or crun")
}

// static refuses an executable that needs a dynamic loader.
func static(path string) error {
	f, err := elf.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return fmt.Errorf("a static busybox (Debian's busybox-static): %s is not", path)
		}
	}
	return nil
}
