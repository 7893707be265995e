package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// The last COPY of an image leaves a layer and no tree. These tests read the tree later.

const bareFiles = "-- Buildfile --\nFROM base\nCOPY d /d\n-- d/a --\na\n-- d/s/b --\nb\n"

func TestATreeThatWasOnlyALayerIsReadLater(t *testing.T) {
	t.Parallel()
	m := newMeter(t)
	dir := m.context(bareFiles)
	first := m.mustMeasure(dir)
	for _, test := range []struct {
		name, change string
		args         []string
		want         string
		same         bool
	}{
		{name: "the same again", want: "2 cached; 0 run", same: true},
		{name: "touched", change: "touch -d 2001-02-03 d/a", want: "2 cached; 0 run", same: true},
		{name: "other compression", args: words("--compression zstd"), want: "2 cached; 0 run"},
		{name: "verified", args: words("--verify"), want: "2 cached; 0 run", same: true},
		{name: "a step more", change: "echo 'RUN test $(cat /d/a /d/s/b | wc -l) = 2; touch /c' >>Buildfile", want: "2 cached, 3 done; 1 run"},
		{name: "a step less", change: "sed -i /RUN/d Buildfile", want: "2 cached; 0 run", same: true},
		{name: "other bytes", change: "echo x >d/a", want: "2 done; 0 run"},
		{name: "the old ones again", change: "echo a >d/a", want: "2 cached; 0 run", same: true},
		{name: "an epoch, which is the time of the files", args: words("--source-date-epoch 1000"), want: "2 done; 0 run"},
	} {
		m.shell(dir, test.change)
		o := m.mustMeasure(dir, test.args...)
		if got := o.steps(); got != test.want {
			t.Errorf("%s: got %s, want %s", test.name, got, test.want)
		}
		if test.same && o.digest() != first.digest() {
			t.Errorf("%s: the image is another than the first build's", test.name)
		}
	}
	m.checkResidue()
	m.checkEmpty()
}

// With an epoch the files of a context have that time in the tree as in the layer, so that either is made of the other.
func TestTimesOfAnEpochAreInTheTreeToo(t *testing.T) {
	t.Parallel()
	const check = "echo 'RUN test $(stat -c %Y /d/a) = 1000 && test $(stat -c %Y /d) = 1000 && test $(stat -c %Y /d/s) = 1000 && touch /c' >>Buildfile"
	for _, test := range []struct {
		name, change string
		args         []string
		want         string
	}{
		{name: "without the epoch", args: words("--verify"), want: "2 done; 0 run"},
		{name: "touched", args: words("--source-date-epoch 1000"), change: "touch -d @10 d/a d/s d", want: "2 cached; 0 run"},
		{name: "a step more on the layer", args: words("--source-date-epoch 1000"), change: check, want: "2 cached, 3 done; 1 run"},
		{name: "a step more on a new tree", args: words("--source-date-epoch 1000 --no-cache"), change: check, want: "2 done, 3 done; 1 run"},
		{name: "the files", args: words("--source-date-epoch 1000 -o type=local,dest=out"), want: "2 cached; 0 run"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := newMeter(t)
			dir := m.context(bareFiles)
			m.mustMeasure(dir, "--source-date-epoch", "1000")
			m.shell(dir, test.change)
			if got := m.mustMeasure(dir, test.args...).steps(); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
			m.checkEmpty()
		})
	}
}

func TestTwoProcessesUnpackALayerAtOnce(t *testing.T) {
	t.Parallel()
	m := newMeter(t)
	dir := m.context(bareFiles)
	m.mustMeasure(dir)
	m.shell(dir, "echo 'RUN cat /d/a >/c' >>Buildfile")
	var group sync.WaitGroup
	for i := range 3 {
		group.Go(func() { m.measureInto(t, dir, fmt.Sprint("out", i)) })
	}
	group.Wait()
	for i := range 3 {
		checkWhole(t, filepath.Join(m.dir, fmt.Sprint("out", i)))
	}
	if got, want := m.mustMeasure(dir).steps(), "2 cached, 3 cached; 0 run"; got != want {
		t.Errorf("afterwards: got %s, want %s", got, want)
	}
	m.checkResidue()
	m.checkEmpty()
}

func TestAStepWhoseOnlyLayerIsDamagedRunsAgain(t *testing.T) {
	t.Parallel()
	m := newMeter(t)
	dir := m.context(bareFiles)
	first := m.mustMeasure(dir, "-o", "type=oci,tar=false,dest=out")
	layers, err := filepath.Glob(filepath.Join(m.root, "content", "blobs", "sha256", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range layers {
		if err := os.WriteFile(name, []byte("damaged"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o := m.mustMeasure(dir, "-o", "type=oci,tar=false,dest=again")
	if got, want := o.steps(), "2 done; 0 run"; got != want || o.digest() == "" || first.digest() == "" {
		t.Errorf("got %s, want %s", got, want)
	}
	checkWhole(t, filepath.Join(m.dir, "again"))
	m.checkEmpty()
}
