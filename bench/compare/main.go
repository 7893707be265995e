// Command compare measures lbuild beside other builders: whole builds beside the programs that are installed, and its differ
// and packer beside theirs as libraries.
//
//	go run . --out ../results/compare              measure all of it, for an hour or two
//	go run . --workloads layer-apt --runs 3        measure one workload
//	go run . --before /tmp/lbuild --against before       measure builds beside those of an earlier lbuild, and no other
//	go run . page ../results/compare ../../docs/performance.md
//
// It is a module of its own, so that nobody else depends on those builders. It needs root, overlayfs, and cgroups of version 2.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/lbuild/lbuild/bench/compare/internal/packer"
	"github.com/lbuild/lbuild/bench/compare/internal/page"
	"github.com/sirupsen/logrus"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	// The libraries log what they leave out.
	logrus.SetLevel(logrus.PanicLevel)
	switch {
	case len(args) == 2 && args[0] == packer.Command:
		return packer.Child(ctx, args[1], os.Stdout)
	case len(args) == 3 && args[0] == "page":
		return page.Write(args[1], args[2])
	}
	o, err := parse(args)
	if err != nil {
		return err
	}
	return o.measure(ctx)
}
