package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const rootLong = `lbuild builds container images from Buildfiles (Dockerfile syntax), in one
process and without a daemon.

The first argument is a command or, when it is none of those below, the CONTEXT
of a build: "lbuild ." is "lbuild build .".`

const rootExample = `  lbuild -f Buildfile .                        build and keep the image under its digest
  lbuild -t app:1.0 .                          build and name the image
  lbuild -t app:1.0 -o type=oci,dest=a.tar .   build and write an OCI archive
  lbuild images                                list what the image store holds`

// The groups of commands in the help of lbuild.
const (
	groupBuild    = "build"
	groupImages   = "images"
	groupTransfer = "transfer"
	groupLayers   = "layers"
	groupOther    = "other"
)

func newRootCommand(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:           "lbuild [flags] CONTEXT",
		Short:         "Build container images without a daemon",
		Long:          rootLong,
		Example:       rootExample,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },

		DisableFlagsInUseLine:      true,
		SuggestionsMinimumDistance: 2,
	}
	root.SetFlagErrorFunc(usage)
	root.SetUsageFunc(a.writeUsage)
	root.SetHelpCommand(newHelpCommand())
	root.AddGroup(
		&cobra.Group{ID: groupBuild, Title: "Build:"},
		&cobra.Group{ID: groupImages, Title: "Images in the store:"},
		&cobra.Group{ID: groupTransfer, Title: "In and out of the store:"},
		&cobra.Group{ID: groupLayers, Title: "Directories and layers, without a store:"},
		&cobra.Group{ID: groupOther, Title: "Other:"},
	)
	root.SetHelpCommandGroupID(groupOther)
	root.SetCompletionCommandGroupID(groupOther)
	a.globalFlags(root.PersistentFlags())

	addTo(root, groupBuild, newBuildCommand(a), newPlanCommand(a), newPruneCommand(a))
	addTo(root, groupImages, newImagesCommand(a), newTagCommand(a), newRemoveCommand(a), newHistoryCommand(a), newInspectCommand(a))
	addTo(root, groupTransfer, newPullCommand(a), newPushCommand(a), newLoadCommand(a), newSaveCommand(a))
	addTo(root, groupLayers, newDiffCommand(a), newLayerCommand(a))
	addTo(root, groupOther, newBenchCommand(a), newBenchPassCommand(a), newVersionCommand(a))
	return root
}

func addTo(root *cobra.Command, group string, commands ...*cobra.Command) {
	for _, command := range commands {
		command.GroupID = group
		command.DisableFlagsInUseLine = true
		root.AddCommand(command)
	}
}

func (a *app) globalFlags(flags *pflag.FlagSet) {
	flags.StringVar(&a.root, "root", "", "`directory` of the store (default $LBUILD_ROOT, else /var/lib/lbuild)")
	flags.StringSliceVar(&a.insecureRegistries, "insecure-registry", nil,
		"registry that is spoken to in plain http, as `HOST[:PORT]`; repeatable")
	flags.BoolVar(&a.debug, "debug", false, "log what the libraries do to stderr")
}

// commandFirst moves the command's name to the front of args, and puts "build" there when the first word that is not a
// flag names no command. --version alone is the command, for those who try that first.
func commandFirst(root *cobra.Command, args []string) []string {
	at := firstWord(root, args)
	switch {
	case len(args) == 1 && args[0] == "--version":
		return []string{"version"}
	case at < 0 && wantsHelp(args):
		return args
	case at < 0 || !isCommand(root, args[at]):
		return append([]string{"build"}, args...)
	}
	return slices.Concat(args[at:at+1], args[:at], args[at+1:])
}

// wantsHelp reports whether args, which hold no word, ask about lbuild itself.
func wantsHelp(args []string) bool {
	return !slices.ContainsFunc(args, func(arg string) bool { return arg != "-h" && arg != "--help" })
}

// isCommand reports whether word names a command, also the ones that cobra adds when it runs.
func isCommand(root *cobra.Command, word string) bool {
	if word == "help" || word == "completion" || strings.HasPrefix(word, cobra.ShellCompRequestCmd) {
		return true
	}
	return slices.ContainsFunc(root.Commands(), func(c *cobra.Command) bool { return c.Name() == word || c.HasAlias(word) })
}

// firstWord returns the index of the first argument that is neither a flag nor the value of one, or -1.
func firstWord(root *cobra.Command, args []string) int {
	build, _, err := root.Find([]string{"build"})
	if err != nil {
		return -1
	}
	for i := 0; i < len(args); i++ {
		switch arg := args[i]; {
		case arg == "--":
			return -1
		case len(arg) < 2 || arg[0] != '-': // "-" alone is a CONTEXT
			return i
		case takesNext(build.Flags(), root.PersistentFlags(), arg):
			i++
		}
	}
	return -1
}

// takesNext reports whether the value of the flag arg is the argument that follows.
func takesNext(build, global *pflag.FlagSet, arg string) bool {
	if name, long := strings.CutPrefix(arg, "--"); long {
		flag := build.Lookup(name)
		if flag == nil {
			flag = global.Lookup(name)
		}
		return flag != nil && flag.NoOptDefVal == ""
	}
	return shorthandTakesNext(build, arg[1:])
}

// shorthandTakesNext reports the same for a bundle of short flags: the first that wants a value takes the rest of the
// bundle, or the next argument when nothing is left.
func shorthandTakesNext(flags *pflag.FlagSet, bundle string) bool {
	for i := range len(bundle) {
		flag := flags.ShorthandLookup(bundle[i : i+1])
		if flag == nil {
			return false
		}
		if flag.NoOptDefVal == "" {
			return i == len(bundle)-1
		}
	}
	return false
}
