package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/lbuild/lbuild/build"
)

func newPruneCommand(a *app) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "prune [-a]",
		Short: "Forget cached steps and delete what nothing needs",
		Long: `Forget cached steps and images without a name, and delete what nothing needs any more. With --all, the named images
go, too. What a running build uses stays.`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withBuilder(cmd.Context(), 0, func(ctx context.Context, b *build.Builder) error {
				freed, err := b.Prune(ctx, all)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(a.stdout, "freed %s\n", size(freed))
				return err
			})
		},
	}
	cmd.Flags().BoolVarP(&all, "all", "a", false, "also remove the images that have a name")
	return cmd
}
