package buildfile

import (
	"errors"
	"fmt"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/command"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// lint collects what BuildKit's rules say about a file, as the check directives allow.
type lint struct {
	file  *File
	rules *linter.Linter
	first *Error // the first violation, for check=error=true

	names map[string]bool // of the stages so far
	seen  map[string]bool // instructions in this stage
}

func newLint(f *File, config *linter.Config) *lint {
	l := &lint{file: f, names: map[string]bool{}, seen: map[string]bool{}}
	config.Warn = l.warn
	l.rules = linter.New(config)
	return l
}

// verdict is an error if the file wants violations to be errors and has one.
func (l *lint) verdict() error {
	if l.rules.Error() == nil || l.first == nil {
		return nil
	}
	return l.first
}

func (l *lint) warn(rule, _, _, text string, loc []parser.Range) {
	text = fmt.Sprintf("%s (%s)", text, rule)
	first, last := l.file.bounds(loc)
	if first > last {
		return
	}
	l.file.warn(first, text)
	if l.first == nil {
		l.first = l.file.at(first, span{}, errors.New(text))
	}
}

// continuations reports blank lines inside instructions.
func (l *lint) continuations(warnings []parser.Warning) {
	for _, w := range warnings {
		if w.Location != nil {
			l.rules.Run(&linter.RuleNoEmptyContinuation, []parser.Range{*w.Location}, linter.RuleNoEmptyContinuation.Format())
		}
	}
}

func (l *lint) stage(node *parser.Node, stage *instructions.Stage) {
	rules := l.rules.WithMergedConfigFromComments(node.PrevComment)
	clear(l.seen)
	name := strings.ToLower(stage.Name)
	if name == "scratch" || name == "context" {
		rules.Run(&linter.RuleReservedStageName, node.Location(), linter.RuleReservedStageName.Format(stage.Name))
	}
	if name != "" && l.names[name] {
		rules.Run(&linter.RuleDuplicateStageName, node.Location(), linter.RuleDuplicateStageName.Format(stage.Name))
	}
	l.names[name] = true
}

func (l *lint) command(node *parser.Node, cmd instructions.Command) {
	rules := l.rules.WithMergedConfigFromComments(node.PrevComment)
	loc := node.Location()
	name := strings.ToUpper(cmd.Name())
	broken := l.almostJSON(node)
	switch cmd := cmd.(type) {
	case *instructions.EnvCommand:
		legacyPairs(rules, name, cmd.Env, loc)
	case *instructions.LabelCommand:
		legacyPairs(rules, name, cmd.Labels, loc)
	case *instructions.CmdCommand:
		l.once(rules, name, loc)
		l.execForm(rules, name, cmd.PrependShell && !broken, loc)
	case *instructions.EntrypointCommand:
		l.once(rules, name, loc)
		l.execForm(rules, name, cmd.PrependShell && !broken, loc)
	case *instructions.HealthCheckCommand:
		l.once(rules, name, loc)
	case *instructions.ShellCommand:
		l.seen[strings.ToUpper(command.Shell)] = true
	}
}

func legacyPairs(rules *linter.Linter, name string, pairs instructions.KeyValuePairs, loc []parser.Range) {
	if len(pairs) > 0 && pairs[0].NoDelim {
		rules.Run(&linter.RuleLegacyKeyValueFormat, loc, linter.RuleLegacyKeyValueFormat.Format(name))
	}
}

// once notes an instruction of which only the last in a stage counts.
func (l *lint) once(rules *linter.Linter, name string, loc []parser.Range) {
	if l.seen[name] {
		rules.Run(&linter.RuleMultipleInstructionsDisallowed, loc, linter.RuleMultipleInstructionsDisallowed.Format(name))
	}
	l.seen[name] = true
}

func (l *lint) execForm(rules *linter.Linter, name string, inShell bool, loc []parser.Range) {
	if inShell && !l.seen[strings.ToUpper(command.Shell)] {
		rules.Run(&linter.RuleJSONArgsRecommended, loc, linter.RuleJSONArgsRecommended.Format(name))
	}
}

// almostJSON warns of an array that is not JSON: the language then takes it as plain text.
func (l *lint) almostJSON(node *parser.Node) bool {
	const takeArrays = "|add|cmd|copy|entrypoint|run|volume|"
	name := strings.ToLower(node.Value)
	if node.Attributes["json"] || node.Next == nil || !strings.Contains(takeArrays, "|"+name+"|") {
		return false
	}
	array := strings.ReplaceAll(node.Next.Value, " ", "")
	if !strings.HasPrefix(array, `["`) && !strings.HasPrefix(array, `['`) {
		return false
	}
	l.file.warn(node.StartLine, strings.ToUpper(name)+" has what looks like a JSON array but is not one, so it is taken as plain text")
	return true
}
