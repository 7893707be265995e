package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/lbuild/lbuild/build/images"
)

func newPruneCommand(a *app) *cobra.Command {
	var all bool
	var format listFormat
	cmd := &cobra.Command{
		Use:   "prune [flags]",
		Short: "Forget cached steps and delete what nothing needs",
		Long: `Forget all cached steps, the digests of context files and the images without
a name, and delete what no named image needs: the next build runs all steps
again. With --all, the named images go, too. What a running build uses stays.`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withImages(cmd.Context(), func(ctx context.Context, m *images.Images) error {
				pruned, err := m.Prune(ctx, all)
				if err != nil {
					return err
				}
				if format == formatJSON {
					return json.NewEncoder(a.stdout).Encode(pruned)
				}
				_, err = fmt.Fprintf(a.stdout, "%s and %s forgotten, %s freed\n",
					plural(pruned.Steps, "step"), plural(pruned.Images, "image"), size(pruned.Bytes))
				return err
			})
		},
	}
	addFormatFlag(cmd, &format)
	cmd.Flags().BoolVarP(&all, "all", "a", false, "also remove the images that have a name")
	return cmd
}
