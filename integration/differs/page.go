package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/lbuild/lbuild/diff/difftest"
)

// column is how one peer did.
type column struct {
	peer
	difftest.Matrix
}

const preface = `# Differs compared

What becomes of a step's changes when they are packed as a layer: lbuild beside the differs of other builders, called as
libraries on the same overlay mounts. ` + "`make differs`" + ` writes this page; the rows and how they are judged are in
[diff/difftest](../diff/difftest/doc.go), where any differ can be tried.

✓ the row holds · ✗ it does not, see below for the first trial that failed

`

// page is the whole page.
func page(columns []column) string {
	var b strings.Builder
	b.WriteString(preface)
	matrix(&b, columns)
	fmt.Fprintf(&b, "\nLinux %s, everything on ext4 with the marks in `trusted.overlay.`.\n\n## What was called\n\n", columns[0].Kernel)
	b.WriteString("| | version | |\n|---|---|---|\n")
	for _, c := range columns {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", c.name, version(c.module), c.how)
	}
	b.WriteString("\n## Why it matters, and what went wrong\n")
	for i, result := range columns[0].Results {
		fmt.Fprintf(&b, "\n**%s. %s.** %s\n", result.Row.ID, sentence(result.Row.Title), result.Row.Why)
		for _, c := range columns {
			reason(&b, c.name, c.Results[i])
		}
	}
	return b.String()
}

func matrix(b *strings.Builder, columns []column) {
	b.WriteString("| | |")
	for _, c := range columns {
		fmt.Fprintf(b, " %s |", c.name)
	}
	b.WriteString("\n|---|---|" + strings.Repeat(":-:|", len(columns)) + "\n")
	for i, result := range columns[0].Results {
		fmt.Fprintf(b, "| %s | %s |", result.Row.ID, result.Row.Title)
		for _, c := range columns {
			fmt.Fprintf(b, " %s |", sign(c.Results[i]))
		}
		b.WriteByte('\n')
	}
}

func sign(r difftest.Result) string {
	switch {
	case r.Skipped != "":
		return "–"
	case r.Pass:
		return "✓"
	}
	return "✗"
}

func reason(b *strings.Builder, name string, r difftest.Result) {
	switch {
	case r.Skipped != "":
		fmt.Fprintf(b, "- %s: not tried, %s\n", name, r.Skipped)
	case !r.Pass:
		fmt.Fprintf(b, "- %s, %d of %d trials: %s\n", name, r.Failed, r.Trials, steady(r.Reason))
	}
}

func sentence(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

var (
	temporary = regexp.MustCompile(`/(?:[^\s"/]*/)*(?:containerd-mount|difftest|buildkit)\d+(?:/\d+/t\d+/\d+(?:/(?:upper|merged))?)?`)
	times     = regexp.MustCompile(`\b\d{10}\b`)
)

// steady takes out of a reason what is another one in each run.
func steady(s string) string {
	s = strings.ReplaceAll(s, "\n", "; ")
	s = temporary.ReplaceAllString(s, "…")
	s = times.ReplaceAllStringFunc(s, func(n string) string {
		seconds, _ := strconv.ParseInt(n, 10, 64)
		if age := time.Since(time.Unix(seconds, 0)); age > -time.Hour && age < 24*time.Hour {
			return "now"
		}
		return n
	})
	s = strings.NewReplacer("|", `\|`, "<", `\<`, "*", `\*`, "_", `\_`).Replace(s)
	return strings.TrimSuffix(strings.ReplaceAll(s, "mount callback failed on …: ", ""), ".")
}
