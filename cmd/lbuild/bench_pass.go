package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/lbuild/lbuild/bench"
)

// benchPassName is the command that bench starts lbuild with for each measurement.
const benchPassName = "bench-pass"

// outcomeFile is the descriptor that bench.Child tells its outcome to.
const outcomeFile = 3

func newBenchPassCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:    benchPassName + " pack|unpack CODEC WORKERS",
		Short:  "Do one measurement of bench, which calls this",
		Hidden: true,
		Args:   takes(3, 3),
		RunE: func(cmd *cobra.Command, args []string) error {
			outcome := os.NewFile(outcomeFile, "outcome")
			defer outcome.Close()
			return bench.Child(cmd.Context(), args, a.stdin, a.stdout, outcome)
		},
	}
}
