package integration

import (
	"os"
	"path/filepath"
	"testing"

	lbuild "github.com/lbuild/lbuild/build"
)

// What a layer of the store has packed is not packed again, and nobody can tell from the bytes.

// reused is how many bytes of the new layers were packed before, and how many they have.
func (o outcome) reused() (reused, size int64) {
	for _, ev := range o.events {
		if ev.Type == lbuild.EventPack && ev.State == lbuild.StateDone {
			reused += ev.ReusedBytes
			size += ev.Size
		}
	}
	return reused, size
}

const reuseFiles = `-- Buildfile --
FROM base
COPY d /d
RUN cp -r /d /e
`

// fill makes a few megabytes of files that get smaller, large ones and small ones.
const fill = `mkdir -p d/s
for i in 1 2 3; do seq $i 5 3000000 | head -c 4000000 >d/large$i; done
for i in $(seq 1 300); do seq $i 2 9000 >d/s/$i; done`

func TestPackedBlocksAreUsedAgain(t *testing.T) {
	t.Parallel()
	for codec, share := range map[string]int64{"gzip": 3, "zstd": 20} { // zstd's blocks are four times as long
		t.Run(codec, func(t *testing.T) {
			m := newMeter(t)
			dir := m.context(reuseFiles)
			m.shell(dir, fill)
			args := words("--source-date-epoch 1000 --compression " + codec)
			m.mustMeasure(dir, args...)
			for _, change := range []string{
				"echo 1 >>d/s/77", "echo 1 >d/large1", "rm d/large2; mkdir -p d/a; seq 1 3 100000 >d/a/new",
			} {
				m.shell(dir, change)
				again := m.mustMeasure(dir, append(args, "--verify")...)
				if reused, size := again.reused(); reused < size/share {
					t.Errorf("%s: %d of %d bytes were used again", change, reused, size)
				}
			}
			args = append(args, "-o", "type=oci,tar=false,dest=out")
			want := newMeter(t).mustMeasure(dir, args...)
			if o := m.mustMeasure(dir, args...); o.digest() != want.digest() {
				t.Errorf("the image is %s, and that of an empty store %s", o.digest(), want.digest())
			}
			m.checkResidue()
			m.checkEmpty()
			if left := m.entries("blocks"); len(left) > 0 {
				t.Errorf("prune leaves %v", left)
			}
		})
	}
}

// Blobs on disk that changed are not believed, nor are the files that tell of their blocks.
func TestDamagedBlocksAreNotUsedAgain(t *testing.T) {
	t.Parallel()
	m := newMeter(t)
	dir := m.context("-- Buildfile --\nFROM base\nCOPY d /d\n")
	m.shell(dir, fill)
	args := words("--source-date-epoch 1000 -o type=oci,tar=false,dest=out")
	m.mustMeasure(dir, args...)
	m.shell(dir, "echo 1 >>d/s/77")
	want := newMeter(t).mustMeasure(dir, args...).digest()
	blobs, err := filepath.Glob(filepath.Join(m.root, "content", "blobs", "sha256", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range blobs {
		damage(t, name)
	}
	o := m.mustMeasure(dir, args...)
	if reused, size := o.reused(); reused > 0 || size == 0 || o.digest() != want {
		t.Errorf("%d of %d bytes came from damaged blobs; image %s, want %s", reused, size, o.digest(), want)
	}
	checkWhole(t, filepath.Join(m.dir, "out"))

	tells, err := filepath.Glob(filepath.Join(m.root, "blocks", "*"))
	if err != nil || len(tells) == 0 {
		t.Fatal(tells, err)
	}
	for _, name := range tells {
		damage(t, name)
	}
	m.shell(dir, "echo 1 >>d/s/78")
	want = newMeter(t).mustMeasure(dir, args...).digest()
	if o := m.mustMeasure(dir, args...); o.digest() != want {
		t.Errorf("damaged notes of blocks: image %s, want %s", o.digest(), want)
	}
	m.checkEmpty()
}

// damage turns over a byte of each page of a file of several, and leaves its size and its first page.
func damage(t *testing.T, name string) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err == nil {
		err = os.Chmod(name, 0o600)
	}
	for at := 4096; at < len(data); at += 4096 {
		data[at] ^= 0xff
	}
	if len(data) <= 4096 {
		data[len(data)/2] ^= 0xff
	}
	if err == nil && len(data) > 4096 || filepath.Base(filepath.Dir(name)) == "blocks" {
		err = os.WriteFile(name, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
