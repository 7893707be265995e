package buildfile_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/shell"

	"github.com/lbuild/lbuild/build/buildfile"
)

func parse(t *testing.T, input string) *buildfile.File {
	t.Helper()
	f, err := buildfile.Parse("Buildfile", []byte(input))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestExpanderKnowsAllFormsOfVariables(t *testing.T) {
	f := parse(t, "FROM a\n")
	e := f.Expander(f.Stages[0].Location, shell.EnvsFromSlice([]string{"x=foo.tar.gz", "empty=", "p=*.t"}))
	for word, want := range map[string]string{
		"$x":                "foo.tar.gz",
		"a${x}b":            "afoo.tar.gzb",
		`\$x`:               "$x",
		`'$x'`:              "$x",
		`"$x"`:              "foo.tar.gz",
		"${unset:-y}":       "y",
		"${empty:-y}":       "y",
		"${empty-y}":        "",
		"${unset-y}":        "y",
		"${x:+y}":           "y",
		"${empty:+y}":       "",
		"${empty+y}":        "y",
		"${unset+y}":        "",
		"${x?needed}":       "foo.tar.gz",
		"${x#*.}":           "tar.gz",
		"${x##*.}":          "gz",
		"${x%.*}":           "foo.tar",
		"${x%%.*}":          "foo",
		"${x/o/0}":          "f0o.tar.gz",
		"${x//o/0}":         "f00.tar.gz",
		"${unset:-${x}}":    "foo.tar.gz",
		"${unset:-${y-$x}}": "foo.tar.gz",
		"$unset":            "",
	} {
		got, err := e.Word(word)
		if err != nil || got != want {
			t.Errorf("Word(%q) = %q, %v, want %q", word, got, err, want)
		}
	}
	if diff := cmp.Diff([]string{"unset", "y"}, e.Unset()); diff != "" {
		t.Errorf("Unset (-want +got):\n%s", diff)
	}
}

func TestExpandFollowsTheEscapeDirective(t *testing.T) {
	f := parse(t, "# escape=`\nFROM a\nWORKDIR c:\\$x`$x\n")
	cmd, _, err := f.Expand(f.Stages[0].Commands[0], shell.EnvsFromSlice([]string{"x=1"}))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := cmd.(*instructions.WorkdirCommand).Path, `c:\1$x`; got != want {
		t.Errorf("WORKDIR is %q, want %q", got, want)
	}
}

func TestExpandReplacesInHeredocsOfCopyUnlessQuoted(t *testing.T) {
	f := parse(t, "FROM a\nCOPY <<A <<'B' $x/\n\"$x\"\nA\n$x\nB\n")
	cmd, unset, err := f.Expand(f.Stages[0].Commands[0], shell.EnvsFromSlice([]string{"x=1"}))
	if err != nil || unset != nil {
		t.Fatalf("Expand gives %v, %v", unset, err)
	}
	want := instructions.SourcesAndDest{
		DestPath: "1/",
		SourceContents: []instructions.SourceContent{
			{Path: "A", Data: "\"1\"\n", Expand: true},
			{Path: "B", Data: "$x\n"},
		},
	}
	if diff := cmp.Diff(want, cmd.(*instructions.CopyCommand).SourcesAndDest); diff != "" {
		t.Errorf("COPY (-want +got):\n%s", diff)
	}
}

// everyInstruction uses the variable v wherever the language expands one.
const everyInstruction = "FROM a\nENV k=$v\nLABEL l=$v\nCOPY --chown=$v $v <<E /$v\n$v\nE\nADD $v /$v\nWORKDIR /$v\nUSER $v\n" +
	"STOPSIGNAL $v\nVOLUME $v\nONBUILD RUN $v\nRUN <<E\necho $v\nE\nCMD $v\nENTRYPOINT $v\nARG x=$v\n"

// expandAll expands every command of f and a trigger for a value of v, and gives them as JSON.
func expandAll(t *testing.T, f *buildfile.File, value string) string {
	t.Helper()
	triggers, err := f.Triggers(&f.Stages[0], "stage a", []string{"ENV k=$v"})
	if err != nil {
		t.Error(err)
	}
	var list []instructions.Command
	for _, cmd := range append(triggers, f.Stages[0].Commands...) {
		expanded, _, err := f.Expand(cmd, shell.EnvsFromSlice([]string{"v=" + value}))
		if err != nil {
			t.Error(err)
		}
		list = append(list, expanded)
	}
	data, err := json.MarshalIndent(list, "", " ")
	if err != nil {
		t.Error(err)
	}
	return string(data)
}

func TestOneFileIsExpandedForSeveralBuildsAtOnce(t *testing.T) {
	shared := parse(t, everyInstruction)
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			value := fmt.Sprint("value", i)
			if diff := cmp.Diff(expandAll(t, parse(t, everyInstruction), value), expandAll(t, shared, value)); diff != "" {
				t.Errorf("%s (-a file of its own +shared):\n%s", value, diff)
			}
		})
	}
	group.Wait()
}

func TestWordsSplitsWhatVariablesHold(t *testing.T) {
	f := parse(t, "FROM a\nEXPOSE $ports\n")
	e := f.Expander(f.Stages[0].Commands[0].Location(), shell.EnvsFromSlice([]string{"ports=80 443/tcp"}))
	got, err := e.Words("$ports")
	if diff := cmp.Diff([]string{"80", "443/tcp"}, got); err != nil || diff != "" {
		t.Errorf("Words: %v (-want +got):\n%s", err, diff)
	}
}

func TestExpandShowsWhereItCannot(t *testing.T) {
	for _, test := range []struct{ name, input, want string }{
		{"required variable", "FROM a\nUSER \\\n  ${user?say who}\n", `
			Buildfile:3: user: say who
			   2 │ USER \
			   3 │   ${user?say who}
			     │   ^^^^^^^^^^^^^^^`},
		{"open brace", "FROM a\nUSER ${user\n", `
			Buildfile:2: missing } after ${
			   1 │ FROM a
			   2 │ USER ${user
			     │      ^^^^^^`},
		{"bad form", "FROM a\nENV a=${x!y}\n", `
			Buildfile:2: unsupported modifier (!) in substitution
			   1 │ FROM a
			   2 │ ENV a=${x!y}
			     │       ^^^^^^`},
		{"open quote", "FROM a\nWORKDIR /x'y\n", `
			Buildfile:2: unexpected end of statement while looking for matching single-quote
			   1 │ FROM a
			   2 │ WORKDIR /x'y
			     │         ^^^^`},
		{"heredoc", "FROM a\nCOPY <<EOF /x\nfine\n${y?none}\nEOF\n", `
			Buildfile:4: y: none
			   3 │ fine
			   4 │ ${y?none}
			     │ ^^^^^^^^^`},
		{"ADD of a URL that a variable holds", "FROM a\nADD $url /\n", `
			Buildfile:2: ADD of a URL or git repository is not supported yet
			   1 │ FROM a
			   2 │ ADD $url /
			     │ ^^^^^^^^^^`},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := parse(t, test.input)
			_, _, err := f.Expand(f.Stages[0].Commands[0], shell.EnvsFromSlice([]string{"url=https://h/x"}))
			if diff := cmp.Diff(text(test.want), fmt.Sprint(err)); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

func TestExpandIsBounded(t *testing.T) {
	f := parse(t, "FROM a\n")
	big := strings.Repeat("x", 1<<20)
	e := f.Expander(f.Stages[0].Location, shell.EnvsFromSlice([]string{"big=" + big}))
	for name, word := range map[string]string{
		"used often":     strings.Repeat("$big", 100),
		"replaced often": "${big//x/" + strings.Repeat("y", 1000) + "}",
		"nested":         strings.Repeat("${a-", 2000) + strings.Repeat("}", 2000),
		"nested, hidden": strings.Repeat("${a-'}'", 2000) + strings.Repeat("}", 2000),
	} {
		if got, err := e.Word(word); err == nil {
			t.Errorf("%s: gives %d bytes, want an error", name, len(got))
		}
	}
	if got, err := e.Word("$big$big"); err != nil || len(got) != 2<<20 {
		t.Errorf("a big value twice gives %d bytes, %v", len(got), err)
	}
	side := strings.Repeat(`${a:-"b"}`, 500)
	if got, err := e.Word(side); err != nil || got != strings.Repeat("b", 500) {
		t.Errorf("500 variables side by side give %q, %v", got, err)
	}
}
