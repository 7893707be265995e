// Command lbuild builds container images from Buildfiles, in one process and without a daemon.
package main

import (
	"context"
	"io"
	"os"
	"sync/atomic"

	"github.com/lbuild/lbuild/build"
)

func main() {
	limitMemory(build.DefaultMemory)
	os.Exit(lbuild())
}

// lbuild runs the command line of this process and returns its exit status.
func lbuild() int {
	ctx, stop := withSignals(context.Background())
	defer stop()
	a := &app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, lookupEnv: os.LookupEnv}
	return a.run(ctx, os.Args[1:])
}

// app is what all commands share: the process's surroundings and the global flags.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	lookupEnv      func(string) (string, bool)

	root               string
	insecureRegistries []string
	debug              bool
	progress           progressMode             // of the command that runs; "" where it shows none
	shown              atomic.Pointer[recorder] // nil before the command shows events
}

// run executes one command line, reports its error, and returns the exit status.
func (a *app) run(ctx context.Context, args []string) int {
	root := newRootCommand(a)
	root.SetArgs(commandFirst(root, args))
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)

	err := root.ExecuteContext(ctx)
	if err != nil {
		a.report(ctx, err)
	}
	return exitStatus(ctx, err)
}

// env returns the value of an environment variable, "" when it is not set.
func (a *app) env(name string) string {
	value, _ := a.lookupEnv(name)
	return value
}
