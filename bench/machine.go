package bench

import (
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Machine is where a report was made.
type Machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"` // that this process may use
	Memory int64  `json:"memory_bytes"`
	System string `json:"system"` // operating system, kernel and architecture
	Go     string `json:"go"`
}

func thisMachine() Machine {
	m := Machine{
		CPU: fieldOf("/proc/cpuinfo", "model name"), Cores: runtime.GOMAXPROCS(0),
		Memory: kilobytes(fieldOf("/proc/meminfo", "MemTotal")),
		System: runtime.GOOS + " " + runtime.GOARCH, Go: runtime.Version(),
	}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		m.System = runtime.GOOS + " " + unix.ByteSliceToString(name.Release[:]) + " " + runtime.GOARCH
	}
	return m
}

// fieldOf finds "name: value" in a file, "" where it is not told.
func fieldOf(path, name string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		if strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
