package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/charmbracelet/x/ansi"
	"github.com/spf13/cobra"
)

const columnGap = "   "

// column is one column of a table.
type column struct {
	title string
	right bool // numbers stand on the right
	max   int  // cells after which text is cut; 0: never
}

// table is text in columns that are as wide as their widest cell.
type table struct {
	columns []column
	rows    [][]string
}

// add appends a row, which has a cell for each column.
func (t *table) add(cells ...string) {
	for i, c := range t.columns {
		if c.max > 0 {
			cells[i] = ansi.Truncate(cells[i], c.max, "…")
		}
	}
	t.rows = append(t.rows, cells)
}

// write prints the titles and the rows.
func (t *table) write(w io.Writer) error {
	titles := make([]string, len(t.columns))
	for i, c := range t.columns {
		titles[i] = c.title
	}
	rows := slices.Concat([][]string{titles}, t.rows)
	widths := make([]int, len(t.columns))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], ansi.StringWidth(cell))
		}
	}
	for _, row := range rows {
		if _, err := fmt.Fprintln(w, t.line(row, widths)); err != nil {
			return err
		}
	}
	return nil
}

func (t *table) line(row []string, widths []int) string {
	cells := make([]string, len(row))
	for i, cell := range row {
		if t.columns[i].right {
			cells[i] = padLeft(cell, widths[i])
		} else {
			cells[i] = padRight(cell, widths[i])
		}
	}
	return strings.TrimRight(strings.Join(cells, columnGap), " ")
}

// listFormat is the value of --format; "" is a table.
type listFormat string

// The formats of lists.
const (
	formatTable listFormat = "table"
	formatJSON  listFormat = "json"
)

// String, Set and Type make a listFormat a flag.
func (f *listFormat) String() string { return string(*f) }

// Type is not shown, because the flag's usage names its values.
func (f *listFormat) Type() string { return "format" }

// Set refuses unknown formats.
func (f *listFormat) Set(text string) error {
	switch listFormat(text) {
	case formatTable, formatJSON:
		*f = listFormat(text)
		return nil
	}
	return fmt.Errorf("want table or json")
}

func addFormatFlag(cmd *cobra.Command, format *listFormat) {
	*format = formatTable
	cmd.Flags().Var(format, "format", "`format` of the output: table or json")
	completeValues(cmd, "format", string(formatTable), string(formatJSON))
}

// completeValues makes the shell complete a flag with these values. The flag must exist.
func completeValues(cmd *cobra.Command, flag string, values ...string) {
	complete := cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)
	if err := cmd.RegisterFlagCompletionFunc(flag, complete); err != nil {
		panic(err)
	}
}
