package main

import (
	"context"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/lbuild/lbuild/build/images"
)

// completeImages has the shell complete the first so many arguments with the names in the store, each once, and nothing
// behind them. -1 is all arguments.
func (a *app) completeImages(most int) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if most >= 0 && len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		names := slices.DeleteFunc(a.imageNames(cmd.Context()), func(name string) bool { return slices.Contains(args, name) })
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// imageNames are those in the store, as a person would type them. A store that is not there, or cannot be read, has none:
// whoever presses a key wants neither an error nor a new store.
func (a *app) imageNames(ctx context.Context) (names []string) {
	root, err := a.rootDirectory()
	if err != nil {
		return nil
	}
	if _, err := os.Stat(root); err != nil {
		return nil
	}
	err = a.withImages(ctx, func(ctx context.Context, m *images.Images) error {
		list, err := m.List(ctx)
		for _, image := range list {
			if image.Name != "" {
				names = append(names, familiar(image.Name))
			}
		}
		return err
	})
	if err != nil {
		return nil
	}
	return names
}

// completeDirectories has the shell complete arguments with directories.
func completeDirectories(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}
