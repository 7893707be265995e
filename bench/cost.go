package bench

import (
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Cost is what one pass over an input took.
type Cost struct {
	Wall float64 `json:"wall_seconds"`
	CPU  float64 `json:"cpu_seconds"` // of all cores, in user and kernel
	// Memory is the most that was resident of the process, in bytes. 0: it is not known.
	Memory int64 `json:"peak_memory_bytes"`
}

// meter is a stopwatch for the time of this process.
type meter struct {
	began time.Time
	cpu   float64
}

func startMeter() meter { return meter{began: time.Now(), cpu: ownCPU()} }

func (m meter) stop() Cost {
	return Cost{Wall: time.Since(m.began).Seconds(), CPU: ownCPU() - m.cpu}
}

func ownCPU() float64 {
	var use unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &use) != nil {
		return 0
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano()).Seconds()
}

// ownPeak is the most memory that this process had since it began, 0 where the kernel does not say.
func ownPeak() int64 {
	status, err := os.Open("/proc/self/status")
	if err != nil {
		return 0
	}
	defer status.Close()
	return peakIn(status)
}

// peakIn finds the peak of resident memory in a file that is like /proc/self/status, 0 where there is none.
func peakIn(status io.ReaderAt) int64 {
	text := make([]byte, 8<<10)
	n, _ := status.ReadAt(text, 0)
	for line := range strings.Lines(string(text[:n])) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			return kilobytes(value)
		}
	}
	return 0
}

// kilobytes reads "123 kB", as the kernel writes 1024 bytes.
func kilobytes(text string) (n int64) {
	for _, c := range strings.TrimSpace(text) {
		if c < '0' || c > '9' {
			break
		}
		n = n*10 + int64(c-'0')
	}
	return n << 10
}
