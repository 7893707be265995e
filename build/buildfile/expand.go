package buildfile

import (
	"errors"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

// Expander replaces the variables in the words of one place in a file. Its errors are *Error at that place.
type Expander struct {
	file  *File
	loc   []parser.Range
	env   shell.EnvGetter
	unset map[string]struct{}
}

// Expander works on words at loc with the variables of env.
func (f *File) Expander(loc []parser.Range, env shell.EnvGetter) *Expander {
	return &Expander{file: f, loc: loc, env: env, unset: map[string]struct{}{}}
}

// Word gives word with variables replaced and quotes and escapes removed.
func (e *Expander) Word(word string) (string, error) {
	var result string
	err := e.process(word, func(env shell.EnvGetter) (err error) {
		var unset map[string]struct{}
		result, unset, err = shell.NewLex(e.file.escape).ProcessWord(word, env)
		maps.Copy(e.unset, unset)
		return err
	})
	return result, err
}

// Words is Word, and splits what is not quoted at spaces.
func (e *Expander) Words(word string) ([]string, error) {
	var result []string
	err := e.process(word, func(env shell.EnvGetter) (err error) {
		result, err = shell.NewLex(e.file.escape).ProcessWords(word, env)
		return err
	})
	return result, err
}

// Content replaces variables in the text of a heredoc: quotes stay, and the escape is a backslash whatever the file says.
func (e *Expander) Content(text string) (string, error) {
	result, err := e.content(text)
	if err == nil {
		return result, nil
	}
	for line := range strings.Lines(text) {
		if _, lineErr := e.content(strings.TrimRight(line, "\r\n")); lineErr != nil {
			return "", lineErr // it points at the line
		}
	}
	return "", err
}

func (e *Expander) content(text string) (string, error) {
	var result string
	err := e.process(text, func(env shell.EnvGetter) (err error) {
		lex := shell.NewLex(parser.DefaultEscapeToken)
		lex.SkipProcessQuotes = true
		var unset map[string]struct{}
		result, unset, err = lex.ProcessWord(text, env)
		maps.Copy(e.unset, unset)
		return err
	})
	return result, err
}

// Unset names the variables that Word and Content met without a value, sorted.
func (e *Expander) Unset() []string {
	return slices.Sorted(maps.Keys(e.unset))
}

// Expand gives a command with the variables replaced that the language expands in it, and the names of those without a
// value; cmd, which is one of the file or of its triggers, stays as it is. The words that come out are checked. ENV and
// ARG see env as it was before them; the values of EXPOSE and the names in COPY --from are left to the caller.
func (f *File) Expand(cmd instructions.Command, env shell.EnvGetter) (expanded instructions.Command, unset []string, err error) {
	if expanded, err = f.nodes.again(cmd); err != nil {
		return nil, nil, f.At(cmd.Location(), "", err)
	}
	e := f.Expander(cmd.Location(), env)
	if c, ok := expanded.(instructions.SupportsSingleWordExpansion); ok {
		if err := c.Expand(e.Word); err != nil {
			return nil, nil, f.At(cmd.Location(), "", err)
		}
	}
	if c, ok := expanded.(instructions.SupportsSingleWordExpansionRaw); ok {
		if err := c.ExpandRaw(e.Content); err != nil {
			return nil, nil, f.At(cmd.Location(), "", err)
		}
	}
	return expanded, e.Unset(), f.Check(expanded)
}

// maxExpansion bounds the values in one expansion, in bytes: a value may be used many times over, in a value that is
// used many times over.
const maxExpansion = 4 << 20

// process runs lex on an environment that hands out only so much.
func (e *Expander) process(word string, lex func(shell.EnvGetter) error) error {
	if tooDeep(word) {
		return e.at(word, errNesting)
	}
	env := &bounded{EnvGetter: e.env, left: allowance(word)}
	err := lex(env)
	switch {
	case env.left < 0:
		return e.at(word, errors.New("the variables expand to too much text"))
	case err != nil:
		return e.at(word, substitutionError(word, err))
	}
	return nil
}

// substitutionError is the lexer's own error without what was wrapped around it, which only repeats the word.
func substitutionError(word string, err error) error {
	if i := strings.LastIndex(word, "${"); i >= 0 && !strings.Contains(word[i:], "}") {
		return errors.New("missing } after ${")
	}
	return errors.New(message(root(err)))
}

func (e *Expander) at(word string, err error) error {
	if strings.Contains(word, "\n") {
		word = ""
	}
	return e.file.At(e.loc, word, err)
}

var replaceAll = regexp.MustCompile(`\$\{[^/}]*//`)

// allowance is how many bytes of values word may use. Replacing all of something in a value multiplies.
func allowance(word string) int {
	if replaceAll.MatchString(word) {
		return maxExpansion / len(word)
	}
	return maxExpansion
}

// bounded gives nothing more once the values it gave exceed what was left.
type bounded struct {
	shell.EnvGetter
	left int
}

func (b *bounded) Get(name string) (string, bool) {
	value, ok := b.EnvGetter.Get(name)
	b.left -= len(value)
	if b.left < 0 {
		return "", ok
	}
	return value, ok
}

// root is the innermost error.
func root(err error) error {
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(err) {
		err = next
	}
	return err
}
