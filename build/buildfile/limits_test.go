package buildfile_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/lbuild/lbuild/build/buildfile"
)

func TestParseIsBounded(t *testing.T) {
	for _, test := range []struct{ name, input, want string }{
		{"long line", "FROM a\nRUN " + strings.Repeat("x", 1<<20), "Buildfile:2: line of 1048580 bytes is too long, 65535 are allowed"},
		{"first line is long", strings.Repeat("x", 1<<20), "Buildfile:1: line of 1048576 bytes is too long, 65535 are allowed"},
		{"line of a heredoc is long", "FROM a\nCOPY <<E /x\n" + strings.Repeat("x", 65536) + "\nE\n", "Buildfile:3: line of 65536 bytes is too long, 65535 are allowed"},
		{"large file", strings.Repeat("# x\n", 1<<20), "Buildfile: a Buildfile of 4194304 bytes is too large, 2097152 are allowed"},
		{"nested ONBUILD", "FROM a\n" + strings.Repeat(strings.Repeat("ONBUILD ", 1000)+"\\\n", 10), "Buildfile:2: ONBUILD cannot be an ONBUILD trigger"},
		{"nested variables", "FROM a\nRUN <<E " + strings.Repeat(strings.Repeat("${a-", 900)+"\\\n", 10), "Buildfile:3: variables stand more than 1000 deep in each other"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := buildfile.Parse("Buildfile", []byte(test.input))
			line, excerpt, _ := strings.Cut(fmt.Sprint(err), "\n")
			if line != test.want {
				t.Errorf("error is %q, want %q", line, test.want)
			}
			const columns = 4 + 3 + 102 // gutter, bar, text with an ellipsis on both sides
			for _, shown := range strings.Split(excerpt, "\n") {
				if got := len([]rune(shown)); got > columns {
					t.Errorf("the excerpt has a line of %d columns", got)
				}
			}
		})
	}
}

func TestParseTakesLongLinesUpToTheLimit(t *testing.T) {
	line := "RUN " + strings.Repeat("x", 65535-4)
	for _, input := range []string{"FROM a\n" + line, "FROM a\n" + line + "\n"} {
		if _, err := buildfile.Parse("Buildfile", []byte(input)); err != nil {
			t.Error(err)
		}
	}
}

func TestParseTakesThousandsOfStages(t *testing.T) {
	var input strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&input, "FROM a AS s%d\nRUN true\n", i)
	}
	if f := parse(t, input.String()); len(f.Stages) != 5000 {
		t.Errorf("%d stages, want 5000", len(f.Stages))
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"FROM a\nRUNN x\n", "# escape=`\nFROM a AS b\nCOPY --from=b <<E /x `\n${y:-z}\nE\n", "\ufeffARG X=1\nFROM $X\n",
		"FROM a\nONBUILD RUN <<-E\n\tx\n\tE\n", "FROM a\r\nENV a=\"b \\\r\n\r\n c\"\r\n", "FROM a\nCMD [\"x\", 1]", "\\", "# check=error=true\nfrom A as B\n",
		"FROM a\nHEALTHCHECK --interval=5s CMD x\n", "FROM a\nADD \x1b http://x /", "FROM a\nCOPY 漢\t👩‍👩‍👧 --x",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, input string) {
		file, err := buildfile.Parse("some/Buildfile", []byte(input))
		lines := strings.Count(input, "\n") + 1
		if err != nil {
			checkError(t, err, lines)
			return
		}
		for _, w := range file.Warnings {
			if w.Line < 1 || w.Line > lines {
				t.Errorf("warning at line %d of %d", w.Line, lines)
			}
		}
		for _, stage := range file.Stages {
			for _, cmd := range stage.Commands {
				checkError(t, file.At(cmd.Location(), input[:min(len(input), 3)], errors.New("x")), lines)
			}
		}
	})
}

func checkError(t *testing.T, err error, lines int) {
	t.Helper()
	var e *buildfile.Error
	if !errors.As(err, &e) {
		t.Fatalf("%T is no *Error: %v", err, err)
	}
	if e.Line < 0 || e.Line > lines || (e.Line > 0) != (e.Excerpt != "") || (e.Line > 0) != (e.Column > 0) {
		t.Errorf("line %d of %d, column %d, excerpt %q", e.Line, lines, e.Column, e.Excerpt)
	}
	if !strings.HasPrefix(e.Error(), "some/Buildfile:") {
		t.Errorf("error does not begin with the file's name: %v", e)
	}
	head, _, _ := strings.Cut(e.Error(), "\n")
	if strings.ContainsFunc(head+e.Excerpt, func(r rune) bool { return r < ' ' && r != '\n' || r == 0x7f }) {
		t.Errorf("control characters in %q", e.Error())
	}
}
