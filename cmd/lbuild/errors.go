package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/lbuild/lbuild/build/buildfile"
)

// The exit statuses of lbuild besides 0 and 128+signal.
const (
	statusFailed = 1
	statusUsage  = 2
	statusSignal = 128 // plus the signal's number
)

// usageError is an error of the command line itself.
type usageError struct {
	command string // whose help says more
	err     error
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// usage marks err, when there is one, as an error of cmd's command line.
func usage(cmd *cobra.Command, err error) error {
	if err == nil {
		return nil
	}
	return &usageError{command: cmd.CommandPath(), err: err}
}

// reportedError is an error that the user has already seen; it only sets the exit status.
type reportedError struct{ err error }

func (e *reportedError) Error() string { return e.err.Error() }
func (e *reportedError) Unwrap() error { return e.err }

// exitStatus maps the outcome of a command to the status of the process.
func exitStatus(ctx context.Context, err error) int {
	if err == nil {
		return 0
	}
	if stopped, ok := errors.AsType[signalError](context.Cause(ctx)); ok {
		return statusSignal + int(stopped.signal)
	}
	if _, ok := errors.AsType[*usageError](err); ok {
		return statusUsage
	}
	return statusFailed
}

// report prints err to stderr as one block.
func (a *app) report(ctx context.Context, err error) {
	if _, ok := errors.AsType[*reportedError](err); ok || readerIsGone(err) {
		return
	}
	fmt.Fprintln(a.stderr, strings.TrimRight(harmless(errorBlock(ctx, err)), "\n"))
	if misuse, ok := errors.AsType[*usageError](err); ok {
		fmt.Fprintf(a.stderr, "See '%s --help'.\n", misuse.command)
	}
}

// readerIsGone reports whether nobody reads stdout any more, as in "lbuild history app | head". That is no news to who
// stopped reading.
func readerIsGone(err error) bool {
	write, ok := errors.AsType[*fs.PathError](err)
	return ok && write.Path == os.Stdout.Name() && errors.Is(write, syscall.EPIPE)
}

// errorBlock is err as a person reads it: an error in a Buildfile starts with its place, any other with "error: ".
func errorBlock(ctx context.Context, err error) string {
	if _, ok := errors.AsType[*buildfile.Error](err); ok && ctx.Err() == nil {
		return err.Error()
	}
	return "error: " + errorText(ctx, err)
}

// harmless leaves out what would act on the terminal: errors quote registries, archives and Buildfiles.
func harmless(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, text)
}

// errorText is what went wrong. After a signal that is the signal, whatever it made fail.
func errorText(ctx context.Context, err error) string {
	if stopped, ok := errors.AsType[signalError](context.Cause(ctx)); ok {
		return stopped.Error()
	}
	return err.Error()
}
