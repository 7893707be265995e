package difftest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// attempt is one trial under way. It is the testing.TB of the helpers that make trees and mounts, without a test: what
// they call is below, and the rest of the interface is not there.
type attempt struct {
	testing.TB
	ctx  context.Context // as a testing.TB has it
	dir  string
	made int
	// ownDevices mounts a new file system on each temporary directory.
	ownDevices bool

	failure  string
	skipped  string
	cleanups []func()
}

// run calls a function with a new attempt below a directory, and then its cleanups, whatever happened. It returns
// why the function failed or was skipped.
func run(ctx context.Context, dir string, f func(*attempt)) (failure, skipped string) {
	a := &attempt{ctx: ctx}
	done := make(chan struct{})
	// A goroutine of its own can be ended from any depth, as the testing package does.
	go func() {
		defer close(done)
		defer a.cleanup()
		defer a.catch()
		var err error
		if a.dir, err = os.MkdirTemp(dir, "t"); err != nil {
			a.Fatal(err)
		}
		a.Cleanup(func() {
			if err := os.RemoveAll(a.dir); err != nil {
				a.Errorf("clean up: %v", err)
			}
		})
		f(a)
	}()
	<-done
	return a.failure, a.skipped
}

// catch makes a panic a failure.
func (a *attempt) catch() {
	if p := recover(); p != nil {
		a.Errorf("panic: %v\n%s", p, debug.Stack())
	}
}

func (a *attempt) cleanup() {
	for len(a.cleanups) > 0 {
		last := a.cleanups[len(a.cleanups)-1]
		a.cleanups = a.cleanups[:len(a.cleanups)-1]
		last()
	}
}

// Helper does nothing: failures have no line numbers.
func (a *attempt) Helper() {}

// Cleanup keeps a function for the end.
func (a *attempt) Cleanup(f func()) { a.cleanups = append(a.cleanups, f) }

// Errorf notes a failure and goes on. Only the first one is kept.
func (a *attempt) Errorf(format string, args ...any) {
	if a.failure == "" {
		a.failure = fmt.Sprintf(format, args...)
	}
}

// Fatal notes a failure and ends the attempt.
func (a *attempt) Fatal(args ...any) { a.Fatalf("%s", strings.TrimSuffix(fmt.Sprintln(args...), "\n")) }

// Fatalf notes a failure and ends the attempt.
func (a *attempt) Fatalf(format string, args ...any) {
	a.Errorf(format, args...)
	runtime.Goexit()
}

// Skip ends the attempt for what the machine lacks.
func (a *attempt) Skip(args ...any) {
	a.skipped = fmt.Sprint(args...)
	runtime.Goexit()
}

// TempDir makes a directory. Its path is short, because 120 of them have to go into one mount.
func (a *attempt) TempDir() string {
	a.made++
	dir := filepath.Join(a.dir, fmt.Sprint(a.made))
	if err := os.Mkdir(dir, 0o755); err != nil {
		a.Fatal(err)
	}
	if a.ownDevices {
		a.mountTmpfs(dir)
	}
	return dir
}

func (a *attempt) mountTmpfs(dir string) {
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=755"); err != nil {
		a.Fatalf("mount a tmpfs: %v", err)
	}
	a.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			a.Errorf("unmount %s: %v", dir, err)
		}
	})
}
