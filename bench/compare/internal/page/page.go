// Package page writes docs/performance.md from results.
package page

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/lbuild/lbuild/bench/compare/internal/result"
)

//go:embed performance.md.tmpl
var text string

// Write writes a page from the results in a directory, and its plots into a directory beside it that has its name.
// The same results give the same bytes.
func Write(results, page string) error {
	sets, err := result.Load(results)
	if err != nil {
		return err
	}
	if len(sets) == 0 {
		return fmt.Errorf("%s: no results", results)
	}
	plots := strings.TrimSuffix(page, filepath.Ext(page))
	if err := os.MkdirAll(plots, 0o755); err != nil {
		return err
	}
	d := newData(sets)
	if err := draw(d, plots); err != nil {
		return err
	}
	out, err := render(d)
	if err != nil {
		return err
	}
	return os.WriteFile(page, []byte(out), 0o644) //nolint:gosec // it is for everybody to read
}

// data is what the template sees.
type data struct {
	sets   map[string]result.Set
	Builds []result.Set
	Layers []result.Set
}

// order is that of the page.
var order = [...]string{
	"large", "again", "changed", "small", "apt", "steps", "parallel", "layer-large", "layer-small", "layer-apt", "layer-purge",
}

func newData(sets map[string]result.Set) data {
	d := data{sets: sets}
	for _, name := range order {
		s, ok := sets[name]
		switch {
		case !ok:
		case s.Layer:
			d.Layers = append(d.Layers, s)
		default:
			d.Builds = append(d.Builds, s)
		}
	}
	return d
}

func render(d data) (string, error) {
	t, err := template.New("page").Funcs(template.FuncMap{"table": table}).Parse(text)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	err = t.Execute(&b, d)
	return b.String(), err
}

// BuildBars is the table of promises about builds.
func (d data) BuildBars() string { return buildTable(d.sets) }

// LayerBars is the table of promises about layers. Layers without content have none.
func (d data) LayerBars() string {
	var large []result.Set
	for _, s := range d.Layers {
		if s.Workload != "layer-purge" {
			large = append(large, s)
		}
	}
	return layerTable(large)
}

// Machines says where and when which workload was measured, a line for each.
func (d data) Machines() string {
	var b strings.Builder
	b.WriteString("| workload | taken | rounds | commit of the harness | machine | cores that other work took |\n|---|---|--:|---|---|--:|\n")
	for _, s := range append(d.Builds, d.Layers...) {
		m := s.Machine
		fmt.Fprintf(&b, "| %s | %s | %d | %s | %s%s, %d cores, %d GB, Linux %s, %s | %s |\n",
			s.Workload, s.Taken.Format("2006-01-02 15:04"), s.Summary(s.Contenders[0]).Runs, s.Commit, m.CPU, extensions(m), m.Cores, m.Memory>>30,
			m.Kernel, m.FileSystem, taken(m.Busy))
	}
	return b.String()
}

// extensions says what a processor lacks that matters.
func extensions(m result.Machine) string {
	if m.SHA {
		return ""
	}
	return " without SHA instructions"
}

// taken is how many cores other work took, or that nobody looked.
func taken(busy *float64) string {
	if busy == nil {
		return "not sampled"
	}
	return fmt.Sprintf("%.1f", *busy)
}

// muchBusy is how many cores other work may take before figures tell little.
const muchBusy = 0.25

// Busy lists the workloads that were measured while other programs kept the cores busy, with commas between.
func (d data) Busy() string {
	var names []string
	for _, s := range append(d.Builds, d.Layers...) {
		if s.Machine.Busy != nil && *s.Machine.Busy > muchBusy {
			names = append(names, s.Workload)
		}
	}
	return strings.Join(names, ", ")
}

// Unsampled lists workloads of which nobody looked whether other work took the cores.
func (d data) Unsampled() string {
	var names []string
	for _, s := range append(d.Builds, d.Layers...) {
		if s.Machine.Busy == nil {
			names = append(names, s.Workload)
		}
	}
	return strings.Join(names, " and ")
}

// Versions says what was called.
func (d data) Versions() string {
	var b strings.Builder
	b.WriteString("| | version | |\n|---|---|---|\n")
	seen := map[string]bool{}
	for _, s := range append(d.Builds, d.Layers...) {
		for _, c := range s.Contenders {
			if !seen[c] {
				fmt.Fprintf(&b, "| %s | %s | %s |\n", c, s.Versions[c], s.How[c])
			}
			seen[c] = true
		}
	}
	return b.String()
}
