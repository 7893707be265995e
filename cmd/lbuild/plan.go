package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/emicklei/dot"
	"github.com/spf13/cobra"

	"github.com/lbuild/lbuild/build"
)

// The forms in which a plan is shown.
const (
	planFormatTable = "table"
	planFormatJSON  = "json"
	planFormatDot   = "dot"
)

func newPlanCommand(a *app) *cobra.Command {
	f := &buildFlags{progress: progressQuiet, compression: "gzip", whiteouts: "opaque"}
	format := planFormatTable
	cmd := &cobra.Command{
		Use:   "plan [flags] CONTEXT",
		Short: "Show what a build would do, without doing it",
		Long: `Show the graph of a build: its steps, what each stands on and reads, and which
of them this store knows the result of. It takes the flags of "lbuild build"
that steps depend on.

The images that the Buildfile names are looked up, and contexts are read. No
step runs, and no layer is fetched. What a COPY reads from a step that is to
run is not known before that: then the COPY is "unknown".`,
		Example: `  lbuild plan .
  lbuild plan --platform linux/amd64,linux/arm64 --format dot . | dot -Tsvg >plan.svg`,
		Args: oneContext,
		RunE: func(cmd *cobra.Command, args []string) error {
			req, err := a.buildRequest(f, args[0])
			if err == nil && format != planFormatTable && format != planFormatJSON && format != planFormatDot {
				err = fmt.Errorf("--format %q is neither table, json nor dot", format)
			}
			if err != nil {
				return usage(cmd, err)
			}
			return a.plan(cmd.Context(), f, req, format)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	group(flags, "What to build", f.registerInput)
	group(flags, "How steps run", f.registerSteps)
	flags.StringVar(&f.epoch, "source-date-epoch", "", "Unix time in `seconds` that files of a context have (default $SOURCE_DATE_EPOCH)")
	flags.StringVar(&format, "format", planFormatTable, "how it is shown, as a `format`: table, json or dot (of Graphviz)")
	completeValues(cmd, "format", planFormatTable, planFormatJSON, planFormatDot)
	return cmd
}

// plan shows what a build would do.
func (a *app) plan(ctx context.Context, f *buildFlags, req build.Request, format string) error {
	if f.file == standardStream {
		if err := a.readBuildfile(&req); err != nil {
			return err
		}
	}
	return a.withBuilder(ctx, build.Options{}, func(ctx context.Context, b *build.Builder) error {
		shown := a.record(progressQuiet, true)
		req.Events = shown.Show
		p, err := b.Plan(ctx, req)
		shown.finish(ctx, "", err)
		if err != nil {
			return err
		}
		switch format {
		case planFormatJSON:
			return writePlanJSON(a.stdout, p)
		case planFormatDot:
			_, err := io.WriteString(a.stdout, planDot(p)+"\n")
			return err
		}
		return planTable(p).write(a.stdout)
	})
}

func writePlanJSON(w io.Writer, p *build.Plan) error {
	text, err := json.MarshalIndent(p, "", "  ")
	if err == nil {
		_, err = w.Write(append(text, '\n'))
	}
	return err
}

// planTable has a row for each node, and one for each further place at which its step stands.
func planTable(p *build.Plan) *table {
	t := &table{columns: []column{
		{title: "NODE", right: true},
		{title: "LINE", right: true},
		{title: "STEP", max: maxStepWidth},
		{title: "ON", right: true},
		{title: "READS"},
		{title: "STATE"},
	}}
	for _, n := range p.Nodes {
		state := cmp.Or(n.Reason, n.State)
		if len(n.Steps) == 0 {
			t.add(strconv.Itoa(n.ID), "", printable(n.Image), "", "", "base")
		}
		for i, s := range n.Steps {
			if i > 0 {
				state = "the same"
			}
			t.add(strconv.Itoa(n.ID), strconv.Itoa(s.Line), planStep(s), nodeText(n.Below), readsText(n.Reads), state)
		}
	}
	return t
}

func planStep(s build.PlannedStep) string { return "[" + s.ID + "] " + firstLine(s.Name) }

func nodeText(id *int) string {
	if id == nil {
		return "-"
	}
	return strconv.Itoa(*id)
}

func readsText(reads []build.PlannedRead) string {
	var list []string
	for _, r := range reads {
		switch {
		case r.Kind == "node":
			list = append(list, nodeText(r.Node))
		case r.Name != "":
			list = append(list, printable(r.Name))
		default:
			list = append(list, r.Kind)
		}
	}
	return strings.Join(list, ", ")
}

// planDot is the graph for Graphviz: solid arrows lead to what stands on a node, dashed ones to what reads it.
func planDot(p *build.Plan) string {
	g := dot.NewGraph(dot.Directed)
	nodes := make([]dot.Node, len(p.Nodes))
	for i, n := range p.Nodes {
		label := printable(n.Image)
		if len(n.Steps) > 0 {
			label = planStep(n.Steps[0])
		}
		nodes[i] = g.Node(strconv.Itoa(n.ID)).Box().Label(label + "\n" + cmp.Or(n.Reason, n.State))
		if n.Below != nil {
			g.Edge(nodes[*n.Below], nodes[i])
		}
		for _, r := range n.Reads {
			if r.Node != nil {
				g.Edge(nodes[*r.Node], nodes[i]).Dashed()
			}
		}
	}
	for _, img := range p.Images {
		if img.Top != nil {
			g.Edge(nodes[*img.Top], g.Node("image "+img.Platform))
		}
	}
	return g.String()
}
