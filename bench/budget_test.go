package bench

import (
	"strings"
	"testing"

	"github.com/lbuild/lbuild/build"
	"github.com/lbuild/lbuild/diff/compress"
)

func TestBudgetIsToldWhereTheDefaultIsTooSmall(t *testing.T) {
	for _, c := range []struct {
		codec          string
		workers, cores int
		want           int64 // MiB
	}{
		{"lbuild/gzip:5", 33, 64, 0},
		{"lbuild/gzip:5", 34, 64, 36*5 + 16},
		{"lbuild/zstd:3", 9, 16, 0},
		{"lbuild/zstd:3", 10, 16, 12*16 + 16},
		{"lbuild/zstd:3", 64, 2, 0}, // builds would use 2
		{"lbuild/zstd:7", 6, 16, 0},
		{"lbuild/zstd:7", 7, 16, 9*20 + 16},
		{"lbuild/zstd:19", 3, 16, 0},
		{"lbuild/zstd:19", 4, 16, 6*52 + 16},
		{None, 99, 99, 0},
		{"lbuild/own", 99, 99, 0}, // a custom codec
	} {
		r := Result{Codec: c.codec, Workers: c.workers}
		if got := r.budget(c.cores); got != c.want<<20 {
			t.Errorf("%s with %d workers on %d cores: %d MiB, want %d", c.codec, c.workers, c.cores, got>>20, c.want)
		}
	}
}

func TestBudgetsAreThoseOfBuilds(t *testing.T) {
	if buildMemory != build.DefaultMemory {
		t.Errorf("the default is %d bytes, want %d", buildMemory, build.DefaultMemory)
	}
	c, err := compress.Parse("zstd:3")
	if err != nil {
		t.Fatal(err)
	}
	req := build.Request{Compression: c}
	least := leastOf(c.WorkerMemory())
	if err := req.CheckMemory(least); err != nil {
		t.Error(err)
	}
	if err := req.CheckMemory(least - 1); err == nil {
		t.Errorf("builds take less than %d bytes for a layer", least)
	}
}

func TestRecommendationSaysTheBudgetThatItNeeds(t *testing.T) {
	r := made()
	r.Machine.Cores = 16
	for i := range r.Results {
		if r.Results[i].Workers == 2 {
			r.Results[i].Workers = 16
		}
	}
	got := r.Recommend(Smallest)[0].String()
	if want := "in builds: --compression zstd:3 --memory-budget 304m ("; !strings.Contains(got, want) {
		t.Errorf("%s\nwant %s", got, want)
	}
	if got := r.Recommend(Balanced)[0].String(); strings.Contains(got, "budget") {
		t.Errorf("gzip needs no larger budget: %s", got)
	}
}
