package integration

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// crossFiles build for two platforms: a stage for this machine is shared, and each image has something of its own.
const crossFiles = `
-- Buildfile --
FROM --platform=$BUILDPLATFORM base AS tool
RUN echo built >/out
FROM scratch
ARG TARGETPLATFORM
LABEL for=$TARGETPLATFORM
COPY --from=tool /out /out
COPY file-$TARGETPLATFORM /file
-- file-linux/amd64 --
amd64
-- file-linux/arm64 --
arm64
`

const bothPlatforms = "linux/amd64,linux/arm64"

func TestSeveralPlatformsAreOneIndex(t *testing.T) {
	t.Parallel()
	m := newMeter(t)
	addr := m.registry()
	dir := m.context(crossFiles)
	o := m.mustMeasure(dir, "--platform", bothPlatforms, "-t", addr+"/app:1", "--push", "-o", "type=image", "-o", "type=oci,tar=false,dest=layout",
		"-o", "type=oci,dest=app.tar", "-o", "type=local,dest=files", "--iidfile", "id", "--metadata-file", "meta.json")
	if o.runs != 1 {
		t.Errorf("the stage of the build platform ran %d times, want once", o.runs)
	}
	if id := m.readFile("id"); id != o.digest() {
		t.Errorf("--iidfile holds %s, want the index %s", id, o.digest())
	}
	m.checkMetadata(o.digest())
	m.checkStepPlatforms(o)
	for _, arch := range []string{"amd64", "arm64"} {
		if got := m.readFile("files/linux_" + arch + "/file"); got != arch+"\n" {
			t.Errorf("the files for %s hold %q", arch, got)
		}
	}
	checkWhole(t, filepath.Join(m.dir, "layout"))
	m.checkPushedIndex(addr+"/app:1", o.digest())
	for _, from := range []string{"docker://" + addr + "/app:1", "oci:layout:1", "oci-archive:app.tar:1"} {
		for _, arch := range []string{"amd64", "arm64"} {
			out := m.must("skopeo", "inspect", "--tls-verify=false", "--config", "--override-os", "linux", "--override-arch", arch, from)
			if !strings.Contains(out, `"linux/`+arch+`"`) {
				t.Errorf("%s for %s has the config %s", from, arch, out)
			}
		}
	}
	if got := m.mustLbuild("push", "-q", addr+"/app:1"); got != o.digest() {
		t.Errorf("push from the store sends %s, want %s", got, o.digest())
	}
	again := m.mustMeasure(dir, "--platform", bothPlatforms)
	if again.digest() != o.digest() || again.runs != 0 {
		t.Errorf("the second build: %s with %d runs, want %s with none", again.digest(), again.runs, o.digest())
	}
}

// checkMetadata fails the test unless --metadata-file lists both images.
func (m *meter) checkMetadata(digest string) {
	m.Helper()
	var meta struct {
		Digest    string `json:"containerimage.digest"`
		Platforms []struct {
			Platform string
			Digest   string `json:"containerimage.digest"`
			Layers   []struct{ Line int }
		}
	}
	if err := json.Unmarshal([]byte(m.readFile("meta.json")), &meta); err != nil {
		m.Fatal(err)
	}
	var got []string
	for _, p := range meta.Platforms {
		got = append(got, p.Platform)
		if len(p.Layers) != 2 || p.Layers[0].Line != 6 || p.Digest == digest {
			m.Errorf("the metadata of %s: %+v", p.Platform, p)
		}
	}
	if diff := cmp.Diff(strings.Split(bothPlatforms, ","), got); diff != "" || meta.Digest != digest {
		m.Errorf("the metadata is of %s, want %s; platforms (-want +got):\n%s", meta.Digest, digest, diff)
	}
}

// checkStepPlatforms fails the test unless each step says which platform it is for.
func (m *meter) checkStepPlatforms(o outcome) {
	m.Helper()
	for _, ev := range o.events {
		if ev.Type == "step" && (ev.Platform == "" || !strings.HasPrefix(ev.ID, ev.Platform+" ")) {
			m.Errorf("step %q is for %q", ev.ID, ev.Platform)
		}
	}
}

// checkPushedIndex fails the test unless a registry has the index and all below it.
func (m *meter) checkPushedIndex(name, digest string) {
	m.Helper()
	index, err := remote.Index(m.reference(name))
	if err != nil {
		m.Fatal(err)
	}
	if got, err := index.Digest(); err != nil || got.String() != digest {
		m.Errorf("the registry has %s, %v, want %s", got, err, digest)
	}
	if err := validate.Index(index); err != nil {
		m.Error(err)
	}
}

func TestOutputsOfOnePlatformRefuseSeveral(t *testing.T) {
	l := newLab(t)
	dir := l.context(crossFiles)
	for _, out := range []string{"type=docker,dest=x", "type=tar,dest=x"} {
		r := l.build(dir, "--platform", bothPlatforms, "-o", out)
		if r.code != 2 || !strings.Contains(r.stderr, "holds one platform") {
			t.Errorf("%s: status %d, %s", out, r.code, r.stderr)
		}
	}
}

// helloSource is a program that writes for which architecture it was compiled.
const helloSource = `package main

import (
	"os"
	"runtime"
)

func main() {
	if err := os.WriteFile(os.Args[1], []byte(runtime.GOARCH), 0o644); err != nil {
		panic(err)
	}
}
`

const helloFiles = "-- Buildfile --\nFROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH /hello\nRUN [\"/hello\", \"/out\"]\n-- main.go --\n" + helloSource

// compile compiles main.go of a context for architectures.
func (l *lab) compile(dir string, archs ...string) {
	l.Helper()
	for _, arch := range archs {
		cmd := exec.Command("go", "build", "-o", arch, "main.go")
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOARCH="+arch)
		if out, err := cmd.CombinedOutput(); err != nil {
			l.Fatalf("compile for %s: %v\n%s", arch, err, out)
		}
	}
}

// emulated tells whether programs of an architecture, by qemu's name, run here.
func emulated(arch string) bool {
	data, err := os.ReadFile("/proc/sys/fs/binfmt_misc/qemu-" + arch)
	return err == nil && strings.HasPrefix(string(data), "enabled")
}

func TestAForeignRUNIsEmulatedWhereThatIsRegistered(t *testing.T) {
	if runtime.GOARCH != "arm64" && !emulated("aarch64") {
		if strict {
			t.Fatal("no emulator for arm64 is registered with binfmt_misc: apt-get install qemu-user-static binfmt-support")
		}
		t.Skip("no emulator for arm64 is registered with binfmt_misc")
	}
	t.Parallel()
	l := newLab(t)
	dir := l.context(helloFiles)
	l.compile(dir, "arm64")
	l.mustBuild(dir, "--platform", "linux/arm64", "-o", "out")
	if got := l.readFile("out/out"); got != "arm64" {
		t.Errorf("RUN wrote %q", got)
	}
}

// The program says that it is for a machine that nobody has, so that no emulator takes it, whatever is registered here.
func TestAForeignRUNSaysHowToRegisterAnEmulator(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	dir := l.context(helloFiles)
	l.compile(dir, "riscv64")
	name := filepath.Join(dir, "riscv64")
	program := must(os.ReadFile(name))(t)
	const machine = 18 // where an ELF header names it, in two bytes
	copy(program[machine:], "\xfd\xfd")
	if err := os.WriteFile(name, program, 0o755); err != nil {
		t.Fatal(err)
	}
	r := l.build(dir, "--platform", "linux/riscv64")
	for _, want := range []string{"Buildfile:4: RUN failed", "programs for linux/riscv64", "binfmt_misc", "qemu-user-static"} {
		if r.code != 1 || !strings.Contains(r.stderr, want) {
			t.Errorf("status %d, and the error lacks %q:\n%s", r.code, want, r.stderr)
		}
	}
}

func TestABaseOfAnotherSystemIsAnError(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	r := l.build(l.context("-- Buildfile --\nFROM base\nRUN true\n"), "--platform", "windows/amd64")
	if r.code != 1 || !strings.Contains(r.stderr, "Buildfile:1: base is an image for linux/amd64, not for windows/amd64") {
		t.Errorf("status %d:\n%s", r.code, r.stderr)
	}
	r = l.build(l.context("-- Buildfile --\nFROM base\nRUN true\n"), "--platform", "linux/s390x")
	if r.code != 0 || !strings.Contains(r.stderr, "warning: Buildfile:1: base is an image for linux/amd64, not for linux/s390x") {
		t.Errorf("status %d:\n%s", r.code, r.stderr)
	}
}
