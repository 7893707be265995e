package buildfile_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
)

func TestTriggersStandAtFrom(t *testing.T) {
	f := parse(t, "FROM a\nFROM golang:onbuild AS b\n")
	cmds, err := f.Triggers(&f.Stages[1], "golang:onbuild", []string{
		"COPY --from=x . /src", "RUN make\\\n  all", "RUN <<EOF\ntrue\nEOF", "ARG X=1",
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, cmd := range cmds {
		got = append(got, fmt.Sprintf("%d %s", cmd.Location()[0].Start.Line, cmd.Name()))
	}
	if diff := cmp.Diff([]string{"2 COPY", "2 RUN", "2 RUN", "2 ARG"}, got); diff != "" {
		t.Errorf("triggers (-want +got):\n%s", diff)
	}
	if got := cmds[2].(*instructions.RunCommand).Files; len(got) != 1 || got[0].Data != "true\n" {
		t.Errorf("heredoc of a trigger is %v", got)
	}
}

func TestTriggersNameTheImageInErrors(t *testing.T) {
	for _, test := range []struct{ trigger, want string }{
		{"RUNN x", `ONBUILD trigger "RUNN x" of img: unknown instruction "RUNN", did you mean RUN?`},
		{"COPY --link a b", `ONBUILD trigger "COPY --link a b" of img: COPY --link is not supported yet`},
		{"COPY --frm=a a b", `ONBUILD trigger "COPY --frm=a a b" of img: unknown COPY flag "--frm", did you mean --from?`},
		{"ADD https://h/x /", `ONBUILD trigger "ADD https://h/x /" of img: ADD of a URL or git repository is not supported yet`},
		{"ONBUILD RUN x", `ONBUILD trigger "ONBUILD RUN x" of img: ONBUILD cannot be an ONBUILD trigger`},
		{"FROM b", `ONBUILD trigger "FROM b" of img: FROM cannot be an ONBUILD trigger`},
		{"maintainer me", `ONBUILD trigger "maintainer me" of img: MAINTAINER cannot be an ONBUILD trigger`},
		{"RUN a\nRUN b", `ONBUILD trigger "RUN a" of img: a trigger is exactly one instruction`},
		{"", `ONBUILD trigger "" of img: file with no instructions`},
		{"RUN", `ONBUILD trigger "RUN" of img: RUN needs a command`},
		{"RUN \x00", `ONBUILD trigger "RUN \x00" of img: unexpected NUL byte: a Buildfile is UTF-8 text`},
		{"HEALTHCHECK --retries=x CMD y", `ONBUILD trigger "HEALTHCHECK --retries=x CMD y" of img: strconv.ParseInt: parsing "x": invalid syntax`},
	} {
		t.Run(test.trigger, func(t *testing.T) {
			f := parse(t, "ARG X\nFROM img\n")
			_, err := f.Triggers(&f.Stages[0], "img", []string{"RUN true", test.trigger})
			want := "Buildfile:2: " + test.want + "\n   1 │ ARG X\n   2 │ FROM img\n     │      ^^^"
			if diff := cmp.Diff(want, fmt.Sprint(err)); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}
