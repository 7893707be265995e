package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const (
	helpWidth    = 120            // where lines about flags end at the latest
	flagGroupKey = "lbuild-group" // annotation of a flag: the title that it stands under
)

// writeUsage prints how a command is called, after its description.
func (a *app) writeUsage(cmd *cobra.Command) error {
	var b strings.Builder
	width := widthOfHelp(a.stdout) // cobra collects the text in a buffer first
	fmt.Fprintf(&b, "Usage:\n  %s\n", cmd.UseLine())
	if cmd.Root() == cmd {
		b.WriteString("  lbuild COMMAND [flags] …\n")
	}
	if len(cmd.Aliases) > 0 {
		fmt.Fprintf(&b, "\nAlso:\n  %s\n", strings.Join(cmd.Aliases, ", "))
	}
	if cmd.HasExample() {
		fmt.Fprintf(&b, "\nExamples:\n%s\n", cmd.Example)
	}
	writeCommands(&b, cmd)
	for _, group := range flagGroups(cmd.LocalFlags()) {
		writeFlags(&b, width, group.title, group.flags)
	}
	if cmd.HasParent() {
		writeFlags(&b, width, "For all commands", cmd.InheritedFlags())
	}
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "\n\"%s COMMAND --help\" says more about a command.\n", cmd.CommandPath())
	}
	_, err := io.WriteString(cmd.OutOrStderr(), b.String())
	return err
}

// writeCommands lists the commands below cmd, by group.
func writeCommands(w io.Writer, cmd *cobra.Command) {
	groups := cmd.Groups()
	if len(groups) == 0 && cmd.HasAvailableSubCommands() {
		groups = []*cobra.Group{{Title: "Commands:"}}
	}
	for _, group := range groups {
		fmt.Fprintf(w, "\n%s\n", group.Title)
		for _, c := range cmd.Commands() {
			if c.GroupID == group.ID && c.IsAvailableCommand() {
				fmt.Fprintf(w, "  %s %s\n", padRight(c.Name(), cmd.NamePadding()), c.Short)
			}
		}
	}
}

func writeFlags(w io.Writer, width int, title string, flags *pflag.FlagSet) {
	if flags.HasAvailableFlags() {
		fmt.Fprintf(w, "\n%s:\n%s", title, flags.FlagUsagesWrapped(width))
	}
}

// widthOfHelp is that of the terminal, if w is a narrow one.
func widthOfHelp(w io.Writer) int {
	if !isTerminal(w) {
		return helpWidth
	}
	width, _ := sizeOf(w)()
	return min(width, helpWidth)
}

// flagGroup is flags under a title.
type flagGroup struct {
	title string
	flags *pflag.FlagSet
}

// flagGroups sorts flags into their groups, in the order of their first flags; those in no group come last.
func flagGroups(flags *pflag.FlagSet) []flagGroup {
	var groups []flagGroup
	var rest []*pflag.Flag
	add := func(title string, flag *pflag.Flag) {
		i := slices.IndexFunc(groups, func(g flagGroup) bool { return g.title == title })
		if i < 0 {
			i = len(groups)
			set := pflag.NewFlagSet(title, pflag.ContinueOnError)
			set.SortFlags = flags.SortFlags
			groups = append(groups, flagGroup{title, set})
		}
		groups[i].flags.AddFlag(flag)
	}
	flags.VisitAll(func(flag *pflag.Flag) {
		if title := flag.Annotations[flagGroupKey]; len(title) > 0 {
			add(title[0], flag)
		} else {
			rest = append(rest, flag)
		}
	})
	for _, flag := range rest {
		add("Flags", flag)
	}
	return groups
}

// group puts the flags that register adds under a title in the help.
func group(flags *pflag.FlagSet, title string, register func(*pflag.FlagSet)) {
	set := pflag.NewFlagSet(title, pflag.ContinueOnError)
	register(set)
	set.VisitAll(func(flag *pflag.Flag) {
		flag.Annotations = map[string][]string{flagGroupKey: {title}}
	})
	set.SortFlags = false
	flags.AddFlagSet(set)
}

func newHelpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Say more about a command",
		RunE: func(cmd *cobra.Command, args []string) error {
			target, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return usage(cmd.Root(), fmt.Errorf("no command %q", strings.Join(args, " ")))
			}
			target.InitDefaultHelpFlag()
			return target.Help()
		},
	}
}

// takes makes a check that a command gets from least to most arguments; most below 0 is any number.
func takes(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if n := len(args); n < least || most >= 0 && n > most {
			return usage(cmd, fmt.Errorf("got %s, want: %s", plural(n, "argument"), cmd.UseLine()))
		}
		return nil
	}
}
