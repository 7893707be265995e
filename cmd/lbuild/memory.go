package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime/debug"

	"github.com/docker/go-units"

	"github.com/lbuild/lbuild/build"
)

// ownMemory is about what lbuild takes besides the layers that it packs, in bytes.
const ownMemory = 48 << 20

// limitMemory sets where the garbage collector stops to save work, for a build that packs layers in a budget: what was
// needed for one layer goes before the next one needs as much. GOMEMLIMIT sets another.
func limitMemory(budget int64) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(ownMemory + budget)
	}
}

// memory is --memory-budget in bytes.
func (f *buildFlags) memory() (int64, error) {
	if f.memoryBudget == "" {
		return build.DefaultMemory, nil
	}
	n, err := units.RAMInBytes(f.memoryBudget)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("--memory-budget %q is not a size such as 64m", f.memoryBudget)
	}
	return n, nil
}

// checkMemory refuses a budget in which no layer of the request could be packed.
func (f *buildFlags) checkMemory(req *build.Request) error {
	n, err := f.memory()
	if err != nil {
		return err
	}
	return req.CheckMemory(n)
}

// debugMemory prints, with --debug, the most memory that this process had, and the share of it that packing was allowed.
func (a *app) debugMemory(b *build.Builder, budget int64) {
	if a.debug {
		fmt.Fprintf(a.stderr, "peak memory %s; packing was allowed %s of its budget of %s\n",
			peakMemory(), units.BytesSize(float64(b.PackMemory())), units.BytesSize(float64(budget)))
	}
}

// peakMemory is the most memory that this process had so far, as the kernel counts it and as a person reads it.
func peakMemory() string {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return "unknown"
	}
	var kib float64
	_, rest, _ := bytes.Cut(status, []byte("VmHWM:"))
	if _, err := fmt.Sscan(string(rest), &kib); err != nil {
		return "unknown"
	}
	return units.BytesSize(kib * units.KiB)
}
