package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTheFirstWordThatIsNoCommandIsTheContextOfABuild(t *testing.T) {
	for line, want := range map[string]string{
		".":                            "build .",
		"-":                            "build -",
		"-f Buildfile .":               "build -f Buildfile .",
		"-f Buildfile build .":         "build -f Buildfile .",
		"-t images .":                  "build -t images .",
		"-t=images .":                  "build -t=images .",
		"-qt images .":                 "build -qt images .",
		"-qtimages prune":              "prune -qtimages",
		"--tag images .":               "build --tag images .",
		"--no-cache images":            "images --no-cache",
		"--root /r images -q":          "images --root /r -q",
		"--root images":                "build --root images",
		"images --root /r":             "images --root /r",
		"-- images":                    "build -- images",
		"":                             "",
		"--help":                       "--help",
		"-t x --help":                  "build -t x --help",
		"--debug":                      "build --debug",
		"--version":                    "version",
		"--version .":                  "build --version .",
		"./images":                     "build ./images",
		"help tag":                     "help tag",
		"completion bash":              "completion bash",
		"__complete build --pro":       "__complete build --pro",
		"--insecure-registry h push x": "push --insecure-registry h x",
	} {
		t.Run(line, func(t *testing.T) {
			got := commandFirst(newRootCommand(&app{}), strings.Fields(line))
			if diff := cmp.Diff(strings.Fields(want), got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestExitStatusTellsFailureMisuseAndSignalsApart(t *testing.T) {
	ctx := context.Background()
	stopped := func(s syscall.Signal) context.Context {
		ctx, cancel := context.WithCancelCause(ctx)
		cancel(signalError{s})
		return ctx
	}
	misuse := &usageError{command: "lbuild build", err: errors.New("bad")}
	for _, test := range []struct {
		name string
		ctx  context.Context
		err  error
		want int
	}{
		{"success", ctx, nil, 0},
		{"failure", ctx, errors.New("x"), 1},
		{"misuse", ctx, misuse, 2},
		{"wrapped misuse", ctx, fmt.Errorf("y: %w", misuse), 2},
		{"interrupt", stopped(syscall.SIGINT), context.Canceled, 130},
		{"termination", stopped(syscall.SIGTERM), context.Canceled, 143},
		{"success before the signal had an effect", stopped(syscall.SIGINT), nil, 0},
		{"seen before", ctx, &reportedError{errors.New("x")}, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := exitStatus(test.ctx, test.err); got != test.want {
				t.Errorf("got %d, want %d", got, test.want)
			}
		})
	}
}

func TestRootDirectoryFollowsFlagThenEnvironment(t *testing.T) {
	env := map[string]string{"LBUILD_ROOT": "/from/env"}
	a := &app{lookupEnv: func(name string) (string, bool) { value, ok := env[name]; return value, ok }, root: "/from/flag"}
	for _, want := range []string{"/from/flag", "/from/env"} {
		got, err := a.rootDirectory()
		if err != nil || got != want {
			t.Errorf("got %q and %v, want %q", got, err, want)
		}
		a.root = ""
	}
}
