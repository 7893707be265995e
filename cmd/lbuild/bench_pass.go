package main

import (
	"math"
	"os"
	"runtime/debug"

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
		PreRun: func(*cobra.Command, []string) { unlimitMemory() },
		RunE: func(cmd *cobra.Command, args []string) error {
			outcome := os.NewFile(outcomeFile, "outcome")
			defer outcome.Close()
			return bench.Child(cmd.Context(), args, a.stdin, a.stdout, outcome)
		},
	}
}

// unlimitMemory takes back limitMemory, which is for builds: near the limit a codec would be charged for collecting
// garbage more often than it does elsewhere. GOMEMLIMIT stays, as it was asked for.
func unlimitMemory() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(math.MaxInt64)
	}
}
