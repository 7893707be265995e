package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// program is an installed compressor that goes from stdin to stdout.
type program struct {
	name    string
	debian  string // the package that it comes with
	threads string // the flag before the number of workers
	max     string // a flag that its highest levels need
}

func lookupProgram(name string) (engine, bool) {
	switch name {
	case Pigz:
		return engine{program: &program{name: "pigz", debian: "pigz", threads: "-p"}, level: 6, max: maxGzip}, true
	case Igzip:
		return engine{program: &program{name: "igzip", debian: "isal", threads: "-T"}, level: 2, max: 3}, true
	case ZstdProgram:
		return engine{program: &program{name: "zstd", debian: "zstd", threads: "-T", max: "--ultra"}, level: 3, max: maxZstd}, true
	}
	return engine{}, false
}

// installed returns ErrNotInstalled if the program is not on PATH.
func (p *program) installed() error {
	if _, err := exec.LookPath(p.name); err != nil {
		return fmt.Errorf("%s is %w (Debian: apt-get install %s)", p.name, ErrNotInstalled, p.debian)
	}
	return nil
}

// version is the first line that the program says of itself.
func (p *program) version(ctx context.Context) string {
	out, _ := exec.CommandContext(ctx, p.name, "--version").CombinedOutput()
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return strings.Trim(line, "* ")
}

func (p *program) packs(level, workers int) []string {
	args := []string{"-c", "-" + strconv.Itoa(level), p.threads + strconv.Itoa(workers)}
	if p.max != "" {
		args = append(args, p.max)
	}
	return args
}

// run runs the program from in to out, and tells what it took from start to end.
func (p *program) run(ctx context.Context, in io.Reader, out io.Writer, args ...string) (Cost, error) {
	cmd := exec.CommandContext(ctx, p.name, args...)
	var complaint bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, &complaint
	apart(cmd)
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return Cost{}, err
	}
	memory := watchMemory(cmd.Process.Pid)
	err := cmd.Wait()
	cost := Cost{Wall: time.Since(began).Seconds(), Memory: memory()}
	if err != nil {
		if ctx.Err() != nil {
			return Cost{}, context.Cause(ctx)
		}
		return Cost{}, fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, bytes.TrimSpace(complaint.Bytes()))
	}
	cost.CPU = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	return cost, nil
}

// apart keeps a terminal's Ctrl-C from a child: who started it ends it, and with it all that it started.
func apart(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}

// memoryInterval is how often the peak of a program is asked for: what it grows in its last moments may be missed.
const memoryInterval = 2 * time.Millisecond

// watchMemory asks the kernel for the peak memory of a process until the result is called, which tells the last answer.
// The peak in rusage would be no less than that of this process, which the child shares until it becomes the program.
func watchMemory(pid int) (peak func() int64) {
	status, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return func() int64 { return 0 }
	}
	var last int64
	var watcher sync.WaitGroup
	done := make(chan struct{})
	watcher.Go(func() {
		ticks := time.NewTicker(memoryInterval)
		defer ticks.Stop()
		for {
			last = max(last, peakIn(status))
			select {
			case <-ticks.C:
			case <-done:
				return
			}
		}
	})
	return func() int64 {
		close(done)
		watcher.Wait()
		_ = status.Close()
		return last
	}
}
