package buildfile_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lbuild/lbuild/build/buildfile"
)

// text cuts the first line break and the indentation of a literal, so that tables stay readable.
func text(literal string) string {
	return strings.ReplaceAll(strings.TrimPrefix(literal, "\n"), "\t\t\t", "")
}

func TestParseShowsWhereTheInputIsWrong(t *testing.T) {
	for _, test := range []struct{ name, input, want string }{
		{"empty", "", "Buildfile: the file has no instructions"},
		{"only comments", "# nothing\n\n", "Buildfile: the file has no instructions"},
		{"only ARG", "ARG X=1\n", "Buildfile: no FROM: there is no stage to build"},
		{"unknown instruction", "FROM debian:bookworm\nRUNN apt-get update\n", `
			Buildfile:2: unknown instruction "RUNN", did you mean RUN?
			   1 │ FROM debian:bookworm
			   2 │ RUNN apt-get update
			     │ ^^^^`},
		{"unknown instruction that is like none", "FROM a\nfrobnicate\n", `
			Buildfile:2: unknown instruction "frobnicate"
			   1 │ FROM a
			   2 │ frobnicate
			     │ ^^^^^^^^^^`},
		{"unknown instruction on the first line", "FORM a\n", `
			Buildfile:1: unknown instruction "FORM", did you mean FROM?
			   1 │ FORM a
			     │ ^^^^`},
		{"unknown flag", "FROM a\nCOPY --form=b x /\n", `
			Buildfile:2: unknown COPY flag "--form", did you mean --from?
			   1 │ FROM a
			   2 │ COPY --form=b x /
			     │      ^^^^^^`},
		{"flag of an instruction that has none", "FROM a\nARG --secret X\n", `
			Buildfile:2: unknown ARG flag "--secret"
			   1 │ FROM a
			   2 │ ARG --secret X
			     │     ^^^^^^^^`},
		{"instruction before FROM", "RUN true\nFROM a\n", `
			Buildfile:1: RUN before the first FROM: only ARG may stand there
			   1 │ RUN true
			     │ ^^^`},
		{"FROM with two words", "FROM a b\n", `
			Buildfile:1: FROM requires either one or three arguments
			   1 │ FROM a b
			     │ ^^^^^^^^`},
		{"FROM flag", "FROM --network=none a\n", `
			Buildfile:1: unknown FROM flag "--network"
			   1 │ FROM --network=none a
			     │      ^^^^^^^^^`},
		{"stage name", "FROM a AS 1st\n", `
			Buildfile:1: FROM: invalid name for build stage: "1st", name can't start with a number or contain symbols
			   1 │ FROM a AS 1st
			     │           ^^^`},
		{"unterminated heredoc", "FROM a\nRUN <<EOF\ntrue\n", `
			Buildfile:2: unterminated heredoc
			   1 │ FROM a
			   2 │ RUN <<EOF
			     │     ^^`},
		{"escape", "# escape=x\nFROM a\n", `
			Buildfile:1: invalid escape "x", it is either \ or ` + "`" + `
			   1 │ # escape=x
			     │          ^`},
		{"two syntax directives", "# syntax=docker/dockerfile:1\n# syntax=docker/dockerfile:1\nFROM a\n", `
			Buildfile:2: only one syntax parser directive can be used
			   1 │ # syntax=docker/dockerfile:1
			   2 │ # syntax=docker/dockerfile:1
			     │ ^^^^^^^^^^^^^^^^^^^^^^^^^^^^`},
		{"check directive", "# check=frob=x\nFROM a\n", `
			Buildfile:1: check directive: invalid check option "frob"
			   1 │ # check=frob=x
			     │         ^^^^^^`},
		{"violation with check=error", "# check=error=true\nFROM a\nMAINTAINER me\n", `
			Buildfile:3: Maintainer instruction is deprecated in favor of using label (MaintainerDeprecated)
			   2 │ FROM a
			   3 │ MAINTAINER me
			     │ ^^^^^^^^^^^^^`},
		{"NUL", "FROM a\nRUN \x00true\n", `
			Buildfile:2: unexpected NUL byte: a Buildfile is UTF-8 text
			   1 │ FROM a
			   2 │ RUN �true
			     │     ^`},
		{"invalid UTF-8", "FROM a\nRUN x\xff\n", `
			Buildfile:2: invalid UTF-8
			   1 │ FROM a
			   2 │ RUN x�
			     │      ^`},
		{"array of numbers", "FROM a\nCMD [\"a\", 1]\n", `
			Buildfile:2: when using JSON array syntax, arrays must be comprised of strings only
			   1 │ FROM a
			   2 │ CMD ["a", 1]
			     │ ^^^^^^^^^^^^`},
		{"RUN without a command", "FROM a\nRUN\n", `
			Buildfile:2: RUN needs a command
			   1 │ FROM a
			   2 │ RUN
			     │ ^^^`},
		{"COPY without destination", "FROM a\nCOPY x\n", `
			Buildfile:2: COPY requires at least two arguments, but only one was provided. Destination could not be determined
			   1 │ FROM a
			   2 │ COPY x
			     │ ^^^^^^`},
		{"ENV pair without value", "FROM a\nENV a=1 b c=2\n", `
			Buildfile:2: syntax error - can't find = in "b". Must be of the form: name=value
			   1 │ FROM a
			   2 │ ENV a=1 b c=2
			     │         ^`},
		{"HEALTHCHECK type", "FROM a\nHEALTHCHECK FOO true\n", `
			Buildfile:2: unknown type "FOO" in HEALTHCHECK (try CMD)
			   1 │ FROM a
			   2 │ HEALTHCHECK FOO true
			     │             ^^^`},
		{"ONBUILD of ONBUILD", "FROM a\nONBUILD ONBUILD RUN true\n", `
			Buildfile:2: ONBUILD cannot be an ONBUILD trigger
			   1 │ FROM a
			   2 │ ONBUILD ONBUILD RUN true
			     │         ^^^^^^^`},
		{"unknown instruction below ONBUILD", "FROM a\nONBUILD RUNN true\n", `
			Buildfile:2: unknown instruction "RUNN", did you mean RUN?
			   1 │ FROM a
			   2 │ ONBUILD RUNN true
			     │         ^^^^`},
		{"network", "FROM a\nRUN --network=host2 true\n", `
			Buildfile:2: RUN: invalid network mode "host2"
			   1 │ FROM a
			   2 │ RUN --network=host2 true
			     │               ^^^^^`},
	} {
		t.Run(test.name, func(t *testing.T) {
			f, err := buildfile.Parse("Buildfile", []byte(test.input))
			if f != nil {
				t.Error("Parse gives a file beside the error")
			}
			if diff := cmp.Diff(text(test.want), fmt.Sprint(err)); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseRefusesWhatIsNotSupportedYet(t *testing.T) {
	for _, test := range []struct{ line, want, word string }{
		{"RUN --mount=type=cache,target=/x true", "RUN --mount is not supported yet", "--mount"},
		{"RUN --network=none --security=insecure true", "RUN --security is not supported yet", "--security"},
		{"RUN --device=nvidia.com/gpu true", "RUN --device is not supported yet", "--device"},
		{"COPY --link a /", "COPY --link is not supported yet", "--link"},
		{"COPY --link=false a /", "COPY --link is not supported yet", "--link"},
		{"copy --parents a /", "COPY --parents is not supported yet", "--parents"},
		{"COPY --chown=1 --exclude=*.o a /", "COPY --exclude is not supported yet", "--exclude"},
		{"ADD --link a /", "ADD --link is not supported yet", "--link"},
		{"ADD --exclude=x a /", "ADD --exclude is not supported yet", "--exclude"},
		{"ADD --keep-git-dir=true a /", "ADD --keep-git-dir is not supported yet", "--keep-git-dir"},
		{"ADD --checksum=sha256:00 a /", "ADD --checksum is not supported yet", "--checksum"},
		{"ADD --unpack=true a /", "ADD --unpack is not supported yet", "--unpack"},
		{"ADD a http://h/x /", "ADD of a URL or git repository is not supported yet", "http://h/x"},
		{"ADD HTTPS://h/x /", "ADD of a URL or git repository is not supported yet", "HTTPS://h/x"},
		{"ADD https://h/x.git#main /", "ADD of a URL or git repository is not supported yet", "https://h/x.git#main"},
		{"ADD git@github.com:o/r.git /", "ADD of a URL or git repository is not supported yet", "git@github.com:o/r.git"},
		{"ADD ssh://git@h/r /", "ADD of a URL or git repository is not supported yet", "ssh://git@h/r"},
		{"ADD git://h/r /", "ADD of a URL or git repository is not supported yet", "git://h/r"},
		{"COPY https://h/x /", "COPY cannot read a URL or git repository", "https://h/x"},
		{"ONBUILD COPY --link a /", "COPY --link is not supported yet", "--link"},
		{"ONBUILD RUN --mount=type=tmpfs,target=/x true", "RUN --mount is not supported yet", "--mount"},
	} {
		t.Run(test.line, func(t *testing.T) {
			_, err := buildfile.Parse("x/Buildfile", []byte("FROM a\n"+test.line+"\n"))
			carets := strings.Repeat(" ", strings.Index(test.line, test.word)) + strings.Repeat("^", len(test.word))
			want := fmt.Sprintf("x/Buildfile:2: %s\n   1 │ FROM a\n   2 │ %s\n     │ %s", test.want, test.line, carets)
			if diff := cmp.Diff(want, fmt.Sprint(err)); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseTakesTheWholeLanguage(t *testing.T) {
	const input = "# syntax=docker/dockerfile:1.7-labs\n# escape=`\n" + `ARG VERSION=12
# Señor in Latin-1: Se` + "\xf1" + `or
FROM --platform=$BUILDPLATFORM debian:$VERSION AS base
SHELL ["/bin/bash", "-c"]
ENV A=1 B="2 3"
LABEL org.example="x"
RUN --network=none [ -d / ] && echo one ` + "`\n" + `  two
RUN <<-A cat <<B
	first
	A
second
B
COPY --chown=1:2 --chmod=u+x a b /dst/
COPY --from=base <<"FILE" /etc/file
$not expanded
FILE
ADD archive.tar.xz ./http:/x user@host /
HEALTHCHECK --interval=1s --timeout=2s --start-period=3s --start-interval=4s --retries=5 CMD true
EXPOSE 80/tcp 443
VOLUME ["/data"]
USER nobody
WORKDIR C:\x
STOPSIGNAL SIGTERM
ONBUILD RUN true
ENTRYPOINT ["/x"]
CMD ["-v"]
from scratch
`
	f, err := buildfile.Parse("Buildfile", []byte(input))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, stage := range f.Stages {
		got = append(got, fmt.Sprintf("%d FROM %s", stage.Location[0].Start.Line, stage.BaseName))
		for _, cmd := range stage.Commands {
			got = append(got, fmt.Sprintf("%d %s", cmd.Location()[0].Start.Line, cmd.Name()))
		}
	}
	want := strings.Split("5 FROM debian:$VERSION|6 SHELL|7 ENV|8 LABEL|9 RUN|11 RUN|16 COPY|17 COPY|20 ADD|21 HEALTHCHECK|"+
		"22 EXPOSE|23 VOLUME|24 USER|25 WORKDIR|26 STOPSIGNAL|27 ONBUILD|28 ENTRYPOINT|29 CMD|30 FROM scratch", "|")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("instructions (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]buildfile.Warning(nil), f.Warnings); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

func TestParseWarns(t *testing.T) {
	const input = `# syntax=example.com/other:1
FROM a AS Base
MAINTAINER me
ENV k v
RUN a \

  b
CMD ['x']
CMD y
FROM a AS base
SHELL ["sh"]
CMD fine
VOLUME ['/a', '/b']
`
	f, err := buildfile.Parse("Buildfile", []byte(input))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, w := range f.Warnings {
		got = append(got, fmt.Sprintf("%d %s", w.Line, w.Text))
	}
	want := []string{
		`1 syntax "example.com/other:1" is not used: lbuild reads the docker/dockerfile:1 language itself`,
		`2 Stage name 'Base' should be lowercase (StageNameCasing)`,
		`3 Maintainer instruction is deprecated in favor of using label (MaintainerDeprecated)`,
		`4 "ENV key=value" should be used instead of legacy "ENV key value" format (LegacyKeyValueFormat)`,
		`7 Empty continuation line (NoEmptyContinuation)`,
		`8 CMD has what looks like a JSON array but is not one, so it is taken as plain text`,
		`9 Multiple CMD instructions should not be used in the same stage because only the last one will be used (MultipleInstructionsDisallowed)`,
		`9 JSON arguments recommended for CMD to prevent unintended behavior related to OS signals (JSONArgsRecommended)`,
		`10 Duplicate stage name "base", stage names should be unique (DuplicateStageName)`,
		`13 VOLUME has what looks like a JSON array but is not one, so it is taken as plain text`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

func TestCheckDirectiveSilencesRules(t *testing.T) {
	for _, input := range []string{
		"# check=skip=all\nFROM a AS B\nMAINTAINER x\n",
		"# check=skip=StageNameCasing,MaintainerDeprecated;error=true\nFROM a AS B\nMAINTAINER x\n",
		"FROM a AS b\n# check=skip=MaintainerDeprecated\nMAINTAINER x\n",
	} {
		f, err := buildfile.Parse("Buildfile", []byte(input))
		if err != nil {
			t.Errorf("Parse(%q): %v", input, err)
			continue
		}
		if len(f.Warnings) > 0 {
			t.Errorf("Parse(%q) warns: %v", input, f.Warnings)
		}
	}
}

func TestSyntaxDirective(t *testing.T) {
	for image, warns := range map[string]bool{
		"docker/dockerfile":                  false,
		"docker/dockerfile:1":                false,
		"docker/dockerfile:1.7-labs":         false,
		"docker/dockerfile:1-labs":           false,
		"docker.io/docker/dockerfile:latest": false,
		"docker/dockerfile:1@sha256:00":      false,
		"docker/dockerfile@sha256:00":        false,
		"docker/dockerfile:2":                true,
		"docker/dockerfile:10":               true,
		"docker/dockerfile-upstream:master":  true,
		"example.com/docker/dockerfile:1":    true,
	} {
		f, err := buildfile.Parse("Buildfile", []byte("# syntax="+image+"\nFROM a\n"))
		if err != nil {
			t.Fatal(err)
		}
		if got := len(f.Warnings) > 0; got != warns {
			t.Errorf("syntax %s warns: %v, want %v", image, got, warns)
		}
	}
}

func TestErrorUnwraps(t *testing.T) {
	f, err := buildfile.Parse("<stdin>", []byte("FROM a\nRUN exit 3\n"))
	if err != nil {
		t.Fatal(err)
	}
	cause := errors.New("exit status 3")
	placed := f.At(f.Stages[0].Commands[0].Location(), "", cause)
	var e *buildfile.Error
	if !errors.As(placed, &e) || !errors.Is(placed, cause) {
		t.Fatalf("At gives %#v, want an *Error around the cause", placed)
	}
	if e.File != "<stdin>" || e.Line != 2 || e.Column != 1 {
		t.Errorf("place is %s:%d:%d, want <stdin>:2:1", e.File, e.Line, e.Column)
	}
	if again := f.At(nil, "", fmt.Errorf("stage x: %w", placed)); !errors.Is(again, placed) {
		t.Errorf("At moves an error that has a place: %v", again)
	}
	if f.At(nil, "", nil) != nil {
		t.Error("At makes an error of nil")
	}
}
