// Command differs tries the differs of other builders on the rows of diff/difftest, beside lbuild's own, and writes what
// came out as a page of documentation.
//
//	go run . ../../docs/differs.md
//
// It is a module of its own, so that nobody else depends on those builders. It needs root.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/lbuild/lbuild/diff/difftest"
	"github.com/sirupsen/logrus"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "differs:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return errors.New("usage: differs PAGE")
	}
	// Some peers log what they leave out. The page tells it.
	logrus.SetLevel(logrus.PanicLevel)
	var columns []column
	for _, p := range peers() {
		fmt.Fprintln(os.Stderr, p.name)
		m, err := difftest.Run(ctx, p.differ, difftest.Options{})
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		columns = append(columns, column{p, m})
	}
	if err := os.MkdirAll(filepath.Dir(args[0]), 0o755); err != nil {
		return err
	}
	f, err := os.Create(args[0])
	if err != nil {
		return err
	}
	_, err = f.WriteString(page(columns))
	return errors.Join(err, f.Close())
}
