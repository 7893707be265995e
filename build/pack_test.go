package build

import (
	"testing"

	"github.com/lbuild/lbuild/diff/compress"
)

func TestALayerGetsWorkersByWhatTheyTake(t *testing.T) {
	for _, test := range []struct {
		compression    string
		cores, workers int
		memory         int64 // MiB
	}{
		{"none", 64, 64, 0},
		{"gzip", 1, 2, 8},
		{"gzip", 8, 8, 32},
		{"gzip", 64, 24, 96},
		{"zstd", 2, 2, 40},
		{"zstd", 64, 4, 80},
		{"zstd:9", 64, 4, 80},
		{"zstd:19", 1, 2, 160},
		{"zstd:19", 64, 2, 160},
	} {
		c, err := compress.Parse(test.compression)
		if err != nil {
			t.Fatal(err)
		}
		workers, memory := share(c, test.cores)
		if workers != test.workers || memory != test.memory<<20 {
			t.Errorf("%s on %d cores: %d workers and %d MiB, want %d and %d", c, test.cores, workers, memory>>20, test.workers, test.memory)
		}
		if memory > packMemory {
			t.Errorf("%s on %d cores: %d bytes are more than there are", c, test.cores, memory)
		}
	}
}
