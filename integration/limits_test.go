package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// maxMemory is what lbuild may use whatever the sizes of files and layers.
const maxMemory = 300 << 20 // bytes

func (m *meter) checkMemory(what string, o outcome) {
	m.Helper()
	m.Logf("%s: %d MB at most", what, o.maxRSS>>20)
	if o.maxRSS > maxMemory {
		m.Errorf("%s takes %d MB of memory, want %d at most", what, o.maxRSS>>20, maxMemory>>20)
	}
}

// manySteps is a Buildfile whose n steps make a layer each, the last five by RUN.
func manySteps(n int) string {
	var text strings.Builder
	text.WriteString("-- Buildfile --\nFROM base\n")
	for i := range n - 5 {
		fmt.Fprintf(&text, "COPY <<f /d/%d\nstep %d\nf\n", i, i)
	}
	text.WriteString("RUN test $(ls /d | wc -l) = " + fmt.Sprint(n-5) + " && cat /d/* >/all\n")
	for i := range 4 {
		fmt.Fprintf(&text, "RUN rm /d/%d; echo %d >>/all\n", i, i)
	}
	return text.String()
}

func TestAHundredStepsAndMore(t *testing.T) {
	t.Parallel()
	const steps = 120
	m := newMeter(t)
	m.need("skopeo", "umoci")
	dir := m.context(manySteps(steps))
	o := m.mustMeasure(dir, "-t", "many:1", "-o", "type=oci,tar=false,dest=layout", "-o", "type=image", "-o", "type=local,dest=tree")
	if got, want := o.runs, 5; got != want {
		t.Errorf("%d containers, want %d", got, want)
	}
	m.checkMemory(fmt.Sprint(steps, " steps"), o)
	checkWhole(t, filepath.Join(m.dir, "layout"))
	m.must("skopeo", "copy", "-q", "oci:layout:1", "dir:copy")
	m.must("umoci", "unpack", "--image", "layout:1", "bundle")
	m.must("diff", "-r", "--no-dereference", "bundle/rootfs", "tree")
	if names, err := os.ReadDir(filepath.Join(m.dir, "tree", "d")); err != nil || len(names) != steps-5-4 {
		t.Errorf("/d has %d files, want %d; %v", len(names), steps-5-4, err)
	}
	on := m.context("-- Buildfile --\nFROM many:1\nRUN ls /d | wc -l; echo more >/more\n")
	if r := m.measure(on); r.code != 0 || r.runs != 1 {
		t.Errorf("on an image of as many layers: status %d\n%s", r.code, r.stderr)
	}
	m.checkResidue()
}

// TestManyFiles copies a context of many files, and finds it unchanged the next time.
func TestManyFiles(t *testing.T) {
	t.Parallel()
	files := rounds(20_000, 100_000)
	m := newMeter(t)
	dir := m.context("-- Buildfile --\nFROM base\nCOPY tree /tree\nRUN test $(find /tree -type f | wc -l) = " + fmt.Sprint(files) + "\n")
	for i := range files {
		name := filepath.Join(dir, "tree", fmt.Sprint(i/500), fmt.Sprintf("file-with-a-name-%d", i))
		if err := writeFile(name, []byte(fmt.Sprint(i)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	o := m.mustMeasure(dir, "-o", "type=oci,dest=out.tar")
	m.checkMemory(fmt.Sprint(files, " files"), o)
	again := m.mustMeasure(dir)
	if got, want := again.steps(), "2 cached, 3 cached; 0 run"; got != want {
		t.Errorf("the second time: got %s, want %s", got, want)
	}
	m.checkMemory("the same again", again)
	m.checkEmpty()
}

// TestLargeFile copies a file that is larger than the memory that lbuild may use, through every kind of output.
func TestLargeFile(t *testing.T) {
	t.Parallel()
	size := int64(rounds(600, 2000)) << 20
	m := newMeter(t)
	dir := m.context("-- Buildfile --\nFROM base AS one\nCOPY large /large\nRUN mv /large /moved && printf x >>/moved\nFROM base\nCOPY --from=one /moved /\n")
	f, err := os.Create(filepath.Join(dir, "large"))
	if err != nil {
		t.Fatal(err)
	}
	// Mostly holes: what is read is all there, and no disk has to write it.
	for at := int64(0); at < size; at += 64 << 20 {
		if _, err := f.WriteAt([]byte(fmt.Sprint("data at ", at)), at); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	m.checkMemory("a large file as gzip", m.mustMeasure(dir, "--compression", "gzip:1", "-t", "large:1", "-o", "type=oci,dest=out.tar", "-o", "type=image"))
	m.checkMemory("a large file as zstd", m.mustMeasure(dir, "--compression", "zstd:1", "-o", "type=tar,dest=/dev/null"))
	m.checkMemory("a large file as files", m.mustMeasure(dir, "-o", "type=local,dest=tree"))
	if info, err := os.Stat(filepath.Join(m.dir, "tree", "moved")); err != nil || info.Size() != size+1 {
		t.Errorf("%v, %v, want %d bytes", info, err, size+1)
	}
	on := m.context("-- Buildfile --\nFROM base\nRUN true\n")
	m.checkMemory("a large layer of a base", m.mustMeasure(on, "--build-context", "base=oci-layout://"+m.unpackedLayout("out.tar")))
	m.checkEmpty()
}

// TestManyLayersAtOnce packs layers side by side as on a machine with many processors. Noise takes the most memory.
func TestManyLayersAtOnce(t *testing.T) {
	t.Parallel()
	m := newMeter(t)
	m.env = []string{"GOMAXPROCS=16"}
	dir := m.context("-- Buildfile --\nFROM base\nCOPY noise /1\nCOPY noise /2\nCOPY noise /3\nCOPY noise /4\n")
	m.writeNoise(filepath.Join(dir, "noise"), 48<<20)
	for _, c := range []string{"gzip", "zstd", "zstd:19"} {
		m.checkMemory("four layers at once as "+c, m.mustMeasure(dir, "--jobs", "16", "--compression", c))
	}
}

// budgetSlack is what lbuild may take besides its --memory-budget.
const budgetSlack = 96 << 20 // bytes

// TestTheMemoryBudgetHolds packs the same layers in different budgets.
func TestTheMemoryBudgetHolds(t *testing.T) {
	t.Parallel()
	m := newMeter(t)
	m.env = []string{"GOMAXPROCS=16"}
	dir := m.context("-- Buildfile --\nFROM base\nCOPY noise /1\nCOPY noise /2\nCOPY noise /3\n")
	m.writeNoise(filepath.Join(dir, "noise"), rounds(40, 400)<<20)
	for codec, budgets := range map[string][]int{"none": {16}, "gzip": {24, 64}, "zstd": {96}, "zstd:19": {112}} {
		for _, mib := range budgets {
			o := m.mustMeasure(dir, "--jobs", "16", "--compression", codec, "--no-cache", "--debug", "--memory-budget", fmt.Sprint(mib, "m"))
			peak, allowed := m.debuggedMemory(o.stderr)
			t.Logf("%s in %d MiB: %d MiB at most, of which packing was allowed %d", codec, mib, peak>>20, allowed>>20)
			if budget := int64(mib) << 20; allowed > budget || peak > budget+budgetSlack {
				t.Errorf("%s in %d MiB: %d MiB, and packing was allowed %d", codec, mib, peak>>20, allowed>>20)
			}
		}
	}
	o := m.measure(dir, "--compression", "zstd", "--memory-budget", "8m")
	if o.code != 2 || !strings.Contains(o.stderr, "a memory budget of 8MiB is too small: to pack a layer as zstd") {
		t.Errorf("too small a budget: status %d, %s", o.code, o.stderr)
	}
}

// debuggedMemory reads what --debug says of the memory at the end.
func (m *meter) debuggedMemory(stderr string) (peak, allowed int64) {
	m.Helper()
	found := regexp.MustCompile(`(?m)^peak memory (\S+); packing was allowed (\S+) of its budget of \S+$`).FindStringSubmatch(stderr)
	if found == nil {
		m.Fatalf("--debug says nothing of the memory:\n%s", stderr)
	}
	for i, n := range []*int64{&peak, &allowed} {
		var mib float64
		if _, err := fmt.Sscanf(found[i+1], "%fMiB", &mib); err != nil {
			m.Fatalf("%q: %v", found[i+1], err)
		}
		*n = int64(mib * (1 << 20))
	}
	return peak, allowed
}

// unpackedLayout unpacks a layout and returns its directory.
func (m *meter) unpackedLayout(file string) string {
	m.Helper()
	dir := filepath.Join(m.dir, "layout-of-"+file)
	m.must("mkdir", dir)
	m.must("tar", "-xf", file, "-C", dir)
	return dir
}

// mountTmpfs mounts a small file system until the test ends.
func (m *meter) mountTmpfs(dir, size string) {
	m.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		m.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size+",mode=755"); err != nil {
		m.Fatalf("mount a tmpfs: %v", err)
	}
	m.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			m.Errorf("unmount %s: %v", dir, err)
			_ = unix.Unmount(dir, unix.MNT_DETACH)
		}
	})
}

// TestAFullDisk fills the root's file system in several ways. Each time the build says so, and the root works again
// when there is room.
func TestAFullDisk(t *testing.T) {
	const full = "no space left on device"
	for name, test := range map[string]struct {
		files string
		noise int // bytes of incompressible data in the context
		says  string
	}{
		"COPY": {files: "FROM base\nCOPY noise /noise\n", noise: 60 << 20, says: full},
		"RUN":  {files: "FROM base\nRUN dd if=/dev/zero of=/zeros bs=1M count=60\n", says: "No space left on device"},
		"pack": {files: "FROM base\nCOPY noise /noise\nRUN true\n", noise: 25 << 20, says: full},
		"many": {files: "FROM base\nCOPY noise /1\nRUN cp /1 /2\nRUN cp /1 /3\nRUN cp /1 /4\nRUN cp /1 /5\n", noise: 7 << 20, says: full},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMeter(t)
			m.mountTmpfs(m.root, "40m")
			dir := m.context("-- Buildfile --\n" + test.files)
			m.writeNoise(filepath.Join(dir, "noise"), test.noise)
			o := m.measure(dir, "-o", "type=oci,dest=out.tar", "-o", "type=image")
			if o.code != 1 || !strings.Contains(strings.ToLower(o.stderr), strings.ToLower(test.says)) {
				t.Errorf("status %d, want 1 and %q:\n%s", o.code, test.says, o.stderr)
			}
			m.checkNoOutput("out.tar")
			m.checkResidue()
			m.must(m.program, "--root", m.root, "images")
			m.checkSmallBuild()
			m.checkEmpty()
		})
	}
}

// TestAFullDiskByOthers fills the file system to the last byte with something that is not lbuild's.
func TestAFullDiskByOthers(t *testing.T) {
	t.Parallel()
	m := newMeter(t)
	m.mountTmpfs(filepath.Join(m.dir, "disk"), "40m")
	m.root = filepath.Join(m.dir, "disk", "root")
	dir := m.context("-- Buildfile --\nFROM base\nCOPY a /a\nRUN cat /a >/b\n-- a --\na\n")
	m.mustMeasure(dir)
	for i := range 5 {
		free := i * 32 << 10
		m.exec("dd", "if=/dev/zero", "of=disk/ballast", "bs=64k")
		m.must("truncate", "-s", fmt.Sprint("-", free), "disk/ballast")
		o := m.measure(dir, "--no-cache", "-o", "type=image")
		t.Logf("%d KB free: status %d", free>>10, o.code)
		if o.code != 0 && !strings.Contains(o.stderr, "no space left on device") {
			t.Errorf("%d KB free: status %d:\n%s", free>>10, o.code, o.stderr)
		}
		m.must("rm", "disk/ballast")
		m.must(m.program, "--root", m.root, "images")
		m.checkResidue()
		m.checkSmallBuild()
	}
	m.checkEmpty()
}

// checkSmallBuild builds something that needs little room.
func (m *meter) checkSmallBuild() {
	m.Helper()
	m.must(m.program, "--root", m.root, "prune")
	dir := m.context("-- Buildfile --\nFROM base\nRUN echo small >/small\n")
	if o := m.measure(dir, "-o", "type=oci,tar=false,dest="+filepath.Base(dir)+"-out"); o.code != 0 {
		m.Errorf("a small build afterwards: status %d\n%s", o.code, o.stderr)
	} else {
		checkWhole(m, filepath.Join(m.dir, filepath.Base(dir)+"-out"))
	}
	m.checkResidue()
}

// checkNoOutput fails the test if the output, or a part of it under another name, is there.
func (m *meter) checkNoOutput(name string) {
	m.Helper()
	found, err := filepath.Glob(filepath.Join(m.dir, "*"+name+"*"))
	hidden, _ := filepath.Glob(filepath.Join(m.dir, ".lbuild*"))
	if found = append(found, hidden...); err != nil || len(found) > 0 {
		m.Errorf("left of the output: %v, %v", found, err)
	}
}

// writeNoise writes a file that does not get smaller by compression.
func (m *meter) writeNoise(name string, size int) {
	m.Helper()
	m.must("sh", "-c", fmt.Sprintf("head -c %d /dev/urandom >%s", size, name))
}

// TestAFullDiskOfTheOutput exports to a file system that is too small. Of a file nothing is left; a layout in a directory
// has no index, so that no reader takes it for one; files in a directory are the user's to look at.
func TestAFullDiskOfTheOutput(t *testing.T) {
	t.Parallel()
	m := newMeter(t)
	m.mountTmpfs(filepath.Join(m.dir, "disk"), "1m")
	dir := m.context("-- Buildfile --\nFROM base\n")
	const anything = "*"
	for out, left := range map[string]string{
		"type=oci,dest=disk/out":           "",
		"type=docker,dest=disk/out":        "",
		"type=tar,dest=disk/out":           "",
		"type=oci,tar=false,dest=disk/out": "disk/out disk/out/blobs disk/out/blobs/sha256",
		"type=local,dest=disk/out":         anything,
	} {
		o := m.measure(dir, "-o", out)
		if o.code != 1 || !strings.Contains(o.stderr, "no space left on device") {
			t.Errorf("%s: status %d\n%s", out, o.code, o.stderr)
		}
		// Whole blobs may be there.
		got := m.must("sh", "-c", "find disk -mindepth 1 ! -path '*/sha256/[0-9a-f]*' | sort | tr '\\n' ' '")
		if left != anything && strings.TrimSpace(got) != left {
			t.Errorf("%s leaves %q, want %q", out, got, left)
		}
		m.must("rm", "-rf", "disk/out")
		m.checkResidue()
	}
}
