package main

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// signalError is the cause of a context that a signal canceled.
type signalError struct{ signal syscall.Signal }

func (e signalError) Error() string {
	switch e.signal {
	case syscall.SIGINT:
		return "interrupted"
	case syscall.SIGTERM:
		return "terminated"
	default:
		return "stopped: " + e.signal.String()
	}
}

// withSignals returns a context that the first SIGINT, SIGTERM or SIGHUP cancels. Later ones change nothing, so that
// the build can unmount and remove what it made. stop ends the watching.
func withSignals(parent context.Context) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 1)
	// A handler for SIGPIPE turns it into a write error here, while commands that lbuild starts still get the default.
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)

	done := make(chan struct{})
	var watcher sync.WaitGroup
	watcher.Go(func() {
		for {
			select {
			case s := <-signals:
				if s != syscall.SIGPIPE {
					cancel(signalError{s.(syscall.Signal)})
				}
			case <-done:
				return
			}
		}
	})
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		watcher.Wait()
		cancel(nil)
	}
}
