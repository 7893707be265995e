package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lbuild/lbuild/bench/compare/internal/result"
	"golang.org/x/sys/unix"
)

// here describes this machine, and the file system of a directory.
func here(dir string) (result.Machine, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return result.Machine{}, err
	}
	var u unix.Utsname
	var s unix.Sysinfo_t
	var f unix.Statfs_t
	if err := unix.Uname(&u); err != nil {
		return result.Machine{}, err
	}
	if err := unix.Sysinfo(&s); err != nil {
		return result.Machine{}, err
	}
	if err := unix.Statfs(dir, &f); err != nil {
		return result.Machine{}, err
	}
	return result.Machine{
		CPU: processor(), Cores: runtime.GOMAXPROCS(0), Kernel: unix.ByteSliceToString(u.Release[:]), FileSystem: fileSystem(f.Type),
		Memory: int64(s.Totalram) * int64(s.Unit),
		Busy:   new(busy()),
		SHA:    hasSHA(),
	}, nil
}

func fileSystem(magic int64) string {
	switch magic {
	case unix.EXT4_SUPER_MAGIC:
		return "ext4"
	case unix.XFS_SUPER_MAGIC:
		return "xfs"
	case unix.BTRFS_SUPER_MAGIC:
		return "btrfs"
	case unix.TMPFS_MAGIC:
		return "tmpfs"
	}
	return fmt.Sprintf("%#x", magic)
}

// processor is the name of the first CPU.
func processor() string {
	text, _ := os.ReadFile("/proc/cpuinfo") // empty where there is none
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// hasSHA reads the flags of x86 and arm.
func hasSHA() bool {
	text, _ := os.ReadFile("/proc/cpuinfo")
	words := strings.Fields(string(text))
	return slices.Contains(words, "sha_ni") || slices.Contains(words, "sha2")
}

// busy is how many cores are kept busy by whatever else runs. The load average would count what was measured before, too.
func busy() float64 {
	const span = 2 * time.Second
	before := working()
	time.Sleep(span)
	const tick = 100 // of a core in a second
	return (working() - before) / tick / span.Seconds()
}

// working is for how many ticks the cores had something to do since the start. Waiting for a disk is not work.
func working() (ticks float64) {
	text, _ := os.ReadFile("/proc/stat")
	first, _, _ := strings.Cut(string(text), "\n")
	for i, field := range strings.Fields(first) {
		const idle, wait, guest = 4, 5, 9 // columns; guests are in those of user time too
		if i > 0 && i != idle && i != wait && i < guest {
			n, _ := strconv.ParseFloat(field, 64)
			ticks += n
		}
	}
	return ticks
}
