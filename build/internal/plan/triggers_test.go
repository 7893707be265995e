package plan_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lbuild/lbuild/build/internal/plan"
)

func trigger(t *testing.T, p *plan.Plan, stage int, triggers ...string) {
	t.Helper()
	if err := addTriggers(t, p, stage, triggers...); err != nil {
		t.Fatal(err)
	}
}

func addTriggers(t *testing.T, p *plan.Plan, stage int, triggers ...string) error {
	t.Helper()
	f := parse(t, "FROM img\n")
	cmds, err := f.Triggers(&f.Stages[0], "img", triggers)
	if err != nil {
		t.Fatal(err)
	}
	return p.AddTriggers(stage, cmds)
}

func TestAddTriggersMayNeedMoreStages(t *testing.T) {
	input := "FROM a AS x\nFROM b AS tools\nCOPY --from=x f /\nFROM c\nRUN own\n"
	p, err := plan.New(parse(t, input), options("", "", ""))
	if err != nil {
		t.Fatal(err)
	}
	trigger(t, p, 0, "COPY --from=tools f /", "RUN trigger")
	want := `*2 2 on image c needs [2]
    COPY --from=tools f / <- stage 2
    RUN trigger
    RUN own
 0 x on image a
 1 tools on image b needs [1]
    COPY --from=x f / <- stage 1
`
	if diff := cmp.Diff(want, describe(p)); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
}

func TestAddTriggersRefusesCircles(t *testing.T) {
	p, err := plan.New(parse(t, "FROM a AS x\nFROM x AS y\n"), options("", "", ""))
	if err != nil {
		t.Fatal(err)
	}
	want := "Buildfile:1: stages need each other: x → y → x\n   1 │ FROM a AS x\n     │ ^^^^^^^^^^^"
	if diff := cmp.Diff(want, fmt.Sprint(addTriggers(t, p, 0, "COPY --from=y f /"))); diff != "" {
		t.Errorf("error (-want +got):\n%s", diff)
	}
}
