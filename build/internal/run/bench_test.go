package run_test

import (
	"syscall"
	"testing"
	"time"
)

// BenchmarkRun is one RUN step that does nothing: lbuild's own part is own-cpu-ms, the runtime's and the command's the
// other.
func BenchmarkRun(b *testing.B) {
	m := newMachine(b)
	own, others := used(b, syscall.RUSAGE_SELF), used(b, syscall.RUSAGE_CHILDREN)
	for b.Loop() {
		must(b, m.runtime.Run(b.Context(), m.shell("true")))
	}
	b.ReportMetric(perRun(b, used(b, syscall.RUSAGE_SELF)-own), "own-cpu-ms/op")
	b.ReportMetric(perRun(b, used(b, syscall.RUSAGE_CHILDREN)-others), "runtime-cpu-ms/op")
}

func perRun(b *testing.B, d time.Duration) float64 {
	b.Helper()
	return float64(d.Microseconds()) / float64(b.N) / 1000
}

// used is the time on the processors of this process, or of those that it has started and that ended.
func used(b *testing.B, who int) time.Duration {
	b.Helper()
	var r syscall.Rusage
	must(b, syscall.Getrusage(who, &r))
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
