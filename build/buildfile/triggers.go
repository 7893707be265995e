package buildfile

import (
	"errors"
	"fmt"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// Triggers parses the ONBUILD triggers that a stage's base has: base is an image or another stage, as messages call it.
// The commands stand at the stage's FROM; errors name the base and point at that line.
func (f *File) Triggers(stage *instructions.Stage, base string, onbuild []string) ([]instructions.Command, error) {
	var cmds []instructions.Command
	for _, text := range onbuild {
		cmd, err := f.trigger(stage.Location, text)
		if err != nil {
			return nil, f.At(stage.Location, stage.BaseName, fmt.Errorf("ONBUILD trigger %q of %s: %w", shorten(text), base, err))
		}
		cmds = append(cmds, cmd)
	}
	return cmds, nil
}

// trigger parses one instruction. Its errors have no place: the text is not in the file.
func (f *File) trigger(loc []parser.Range, text string) (instructions.Command, error) {
	own := &File{Name: f.Name}
	if err := own.load([]byte(text)); err != nil {
		return nil, root(err)
	}
	tree, err := parser.Parse(strings.NewReader(text))
	if err != nil {
		return nil, plain(err)
	}
	if len(tree.AST.Children) != 1 {
		return nil, errors.New("a trigger is exactly one instruction")
	}
	node := tree.AST.Children[0]
	if isTriggerless(node.Value) {
		return nil, fmt.Errorf("%s cannot be an ONBUILD trigger", strings.ToUpper(node.Value))
	}
	if err := checkNode(node, func(_ *parser.Node, _ string, err error) error { return err }); err != nil {
		return nil, err
	}
	if len(loc) > 0 {
		node.StartLine, node.EndLine = loc[0].Start.Line, loc[len(loc)-1].End.Line
	}
	cmd, err := instructions.ParseCommand(node)
	if err != nil {
		return nil, plain(err)
	}
	f.nodes.add(cmd, node)
	return cmd, root(own.check(cmd))
}

func shorten(text string) string {
	const limit = 60 // characters
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	if runes := []rune(line); len(runes) > limit {
		return string(runes[:limit]) + "…"
	}
	return line
}
