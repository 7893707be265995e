package page

import (
	"fmt"
	"strings"

	"github.com/lbuild/lbuild/bench/compare/internal/result"
)

// table has a row for each contender of a workload, with ratios to the first one.
func table(s result.Set) string {
	var b strings.Builder
	b.WriteString("| | wall | fastest – slowest | ÷ lbuild | CPU | ÷ lbuild | new layers | ")
	if s.Layer {
		b.WriteString("memory | ")
	}
	b.WriteString("same tree |\n|---|--:|--:|--:|--:|--:|--:|" + strings.Repeat("--:|", columns(s)) + "\n")
	first := s.Contenders[0]
	for _, c := range s.Contenders {
		sum := s.Summary(c)
		if sum.Runs == 0 {
			continue
		}
		fmt.Fprintf(&b, "| %s | %.2f s | %.2f – %.2f s | %.2f | %.2f s | %.2f | %s | ", c, sum.Wall, sum.Fastest, sum.Slowest,
			s.Ratio(c, first, result.Wall), sum.CPU, s.Ratio(c, first, result.CPU), packed(s, sum))
		if s.Layer {
			b.WriteString(megabytes(sum.Memory) + " | ")
		}
		b.WriteString(same(s, c) + " |\n")
	}
	return b.String() + differences(s)
}

func columns(s result.Set) int {
	if s.Layer {
		return 2
	}
	return 1
}

func packed(s result.Set, sum result.Summary) string {
	switch {
	case sum.Size == 0:
		return ""
	case s.Layer:
		return megabytes(sum.Size)
	}
	return fmt.Sprintf("%s in %d", megabytes(sum.Size), sum.Layers)
}

func megabytes(bytes float64) string {
	const kilo, mega = 1e3, 1e6
	if bytes < mega {
		return fmt.Sprintf("%.1f kB", bytes/kilo)
	}
	return fmt.Sprintf("%.1f MB", bytes/mega)
}

func same(s result.Set, contender string) string {
	for _, c := range s.Checks {
		switch {
		case c.Contender != contender:
		case c.Same:
			return "✓"
		default:
			return "✗"
		}
	}
	return ""
}

// differences tells where trees were not the same, and of whom.
func differences(s result.Set) string {
	var texts []string
	who := map[string][]string{}
	for _, c := range s.Checks {
		if c.Same || len(c.Differences) == 0 {
			continue
		}
		text := plain(c.Differences)
		if who[text] == nil {
			texts = append(texts, text)
		}
		who[text] = append(who[text], c.Contender)
	}
	var b strings.Builder
	for _, text := range texts {
		fmt.Fprintf(&b, "\nAnother tree, or a failure: %s: %s.\n", strings.Join(who[text], ", "), text)
	}
	return b.String()
}

const told = 3 // differences on the page; the results have more

func plain(lines []string) string {
	more := ""
	if len(lines) > told {
		lines, more = lines[:told], ", …"
	}
	return "`" + strings.NewReplacer("\n", " ", "`", "'").Replace(strings.Join(lines, ", ")) + "`" + more
}
