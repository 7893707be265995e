package buildfile

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// reader turns syntax nodes into a File's stages.
type reader struct {
	file *File
	lint *lint
}

func (r *reader) read(nodes []*parser.Node) error {
	for _, node := range nodes {
		if err := r.instruction(node); err != nil {
			return err
		}
	}
	if len(r.file.Stages) == 0 {
		return &Error{File: r.file.Name, Err: errors.New("no FROM: there is no stage to build")}
	}
	return nil
}

func (r *reader) instruction(node *parser.Node) error {
	f, loc := r.file, node.Location()
	err := checkNode(node, func(culprit *parser.Node, word string, err error) error {
		if culprit == node && word == node.Value {
			return f.atKeyword(loc, word, err)
		}
		return f.At(loc, word, err)
	})
	if err != nil {
		return err
	}
	parsed, err := instructions.ParseInstructionWithLinter(node, r.lint.rules)
	if err != nil {
		return f.At(loc, quoted(message(err)), named(node.Value, plain(err)))
	}
	switch parsed := parsed.(type) {
	case *instructions.Stage:
		f.Stages = append(f.Stages, *parsed)
		r.lint.stage(node, parsed)
		return nil
	case instructions.Command:
		return r.command(node, parsed)
	}
	return f.At(loc, "", fmt.Errorf("%s is not an instruction", node.Value))
}

func (r *reader) command(node *parser.Node, cmd instructions.Command) error {
	f := r.file
	if arg, ok := cmd.(*instructions.ArgCommand); ok && len(f.Stages) == 0 {
		f.Args = append(f.Args, *arg)
		return nil
	}
	if len(f.Stages) == 0 {
		err := fmt.Errorf("%s before the first FROM: only ARG may stand there", strings.ToUpper(cmd.Name()))
		return f.atKeyword(node.Location(), node.Value, err)
	}
	if err := f.check(cmd); err != nil {
		return err
	}
	f.Stages[len(f.Stages)-1].AddCommand(cmd)
	f.nodes.add(cmd, node)
	r.lint.command(node, cmd)
	return nil
}

// check adds to Check what BuildKit's parser lets pass.
func (f *File) check(cmd instructions.Command) error {
	if run, ok := cmd.(*instructions.RunCommand); ok && strings.Join(run.CmdLine, "") == "" {
		return f.At(cmd.Location(), "", errors.New("RUN needs a command"))
	}
	return f.Check(cmd)
}

// parserError gives a syntax error its place. The parser's lines are right where it read an instruction.
func (f *File) parserError(err error) error {
	var located *parser.LocationError
	if !errors.As(err, &located) || len(located.Locations) == 0 {
		return &Error{File: f.Name, Err: plain(err)}
	}
	word := quoted(message(err))
	if word == "" && strings.Contains(f.text(located.Locations[0]), "<<") {
		word = "<<"
	}
	return f.At(located.Locations[0], word, plain(err))
}

func (f *File) isBlank() bool {
	for _, line := range f.lines {
		if strings.TrimSpace(line) != "" && !isComment(line) {
			return false
		}
	}
	return true
}

// message is the text of err on one line of bounded length.
func message(err error) string {
	const limit = 300 // characters
	text := []rune(strings.Map(visible, strings.ReplaceAll(err.Error(), "\n", " ")))
	if len(text) > limit {
		text = append(text[:limit], '…')
	}
	return string(text)
}

// named puts the instruction's name before an error that does not have it.
func named(instruction string, err error) error {
	if name := strings.ToUpper(instruction); !strings.Contains(err.Error(), name) {
		return fmt.Errorf("%s: %w", name, err)
	}
	return err
}

// plain is err in lbuild's manner: one line, lower case unless the first word is a name.
func plain(err error) error {
	text := message(err)
	first, _, _ := strings.Cut(text, " ")
	if len(first) > 1 && unicode.IsUpper(rune(first[0])) && first[1:] == strings.ToLower(first[1:]) {
		text = strings.ToLower(first) + text[len(first):]
	}
	return errors.New(text)
}
