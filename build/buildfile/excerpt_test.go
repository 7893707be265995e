package buildfile_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lbuild/lbuild/build/buildfile"
)

func TestAtPutsTheCaretUnderTheWord(t *testing.T) {
	long := strings.Repeat("0123456789", 15)
	for _, test := range []struct{ name, input, word, want string }{
		{"word", "FROM a\nCOPY x y /\n", "y", `
			B:2: no
			   1 │ FROM a
			   2 │ COPY x y /
			     │        ^`},
		{"whole word before part of one", "FROM a\nCOPY abc a.b a /\n", "a", `
			B:2: no
			   1 │ FROM a
			   2 │ COPY abc a.b a /
			     │              ^`},
		{"part of a word", "FROM a\nCOPY abc /\n", "bc", `
			B:2: no
			   1 │ FROM a
			   2 │ COPY abc /
			     │       ^^`},
		{"no word", "FROM a\n  COPY x /  \n", "", `
			B:2: no
			   1 │ FROM a
			   2 │   COPY x /
			     │   ^^^^^^^^`},
		{"word that is not there", "FROM a\nCOPY $x /\n", "expanded", `
			B:2: no
			   1 │ FROM a
			   2 │ COPY $x /
			     │ ^^^^^^^^^`},
		{"instruction's name as word", "FROM a\nCOPY COPY /\n", "COPY", `
			B:2: no
			   1 │ FROM a
			   2 │ COPY COPY /
			     │      ^^^^`},
		{"later line, not the comment", "FROM a\nCOPY a \\\n  # word\n  word \\\n  /\n", "word", `
			B:4: no
			   3 │   # word
			   4 │   word \
			     │   ^^^^`},
		{"tabs", "FROM a\nCOPY\ta\tword /\n", "word", `
			B:2: no
			   1 │ FROM a
			   2 │ COPY    a       word /
			     │                 ^^^^`},
		{"wide characters", "FROM a\nCOPY 漢字 é 👩‍👩‍👧 wörd字 /\n", "wörd字", `
			B:2: no
			   1 │ FROM a
			   2 │ COPY 漢字 é 👩‍👩‍👧 wörd字 /
			     │                ^^^^^^`},
		{"control characters", "FROM a\nCOPY \x1b[31m word /\n", "word", `
			B:2: no
			   1 │ FROM a
			   2 │ COPY �[31m word /
			     │            ^^^^`},
		{"windows line ends", "FROM a\r\nCOPY word /\r\n", "word", `
			B:2: no
			   1 │ FROM a
			   2 │ COPY word /
			     │      ^^^^`},
		{"blank line above", "FROM a\n\nCOPY word /\n", "word", `
			B:3: no
			   2 │
			   3 │ COPY word /
			     │      ^^^^`},
		{"long line, word at its start", "FROM a\nCOPY word " + long + " /\n", "word", `
			B:2: no
			   1 │ FROM a
			   2 │ COPY word ` + long[:90] + `…
			     │      ^^^^`},
		{"long line, word at its end", "FROM " + long + "\nCOPY " + long + " word /\n", "word", `
			B:2: no
			   1 │ …` + long[127:] + `
			   2 │ …` + long[127:] + ` word /
			     │                          ^^^^`},
	} {
		t.Run(test.name, func(t *testing.T) {
			f, err := buildfile.Parse("B", []byte(test.input))
			if err != nil {
				t.Fatal(err)
			}
			got := fmt.Sprint(f.At(f.Stages[0].Commands[0].Location(), test.word, errors.New("no")))
			if diff := cmp.Diff(text(test.want), got); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

func TestExcerptOfLineNumbersAboveFourDigits(t *testing.T) {
	_, err := buildfile.Parse("B", []byte("FROM a\n"+strings.Repeat("RUN x\n", 9998)+"RUNN\n"))
	want := text(`
			B:10000: unknown instruction "RUNN", did you mean RUN?
			 9999 │ RUN x
			10000 │ RUNN
			      │ ^^^^`)
	if diff := cmp.Diff(want, fmt.Sprint(err)); diff != "" {
		t.Errorf("error (-want +got):\n%s", diff)
	}
}
