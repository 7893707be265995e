package build

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// TestWorkIsHiddenWhereStepsRun has one event at each second.
func TestWorkIsHiddenWhereStepsRun(t *testing.T) {
	step := func(id string, state State) Event { return Event{Type: EventStep, ID: id, State: state} }
	pack := func(state State) Event { return Event{Type: EventPack, State: state} }
	itself := func(id string) Event { return Event{ID: id} } // no event: the step packs its own layer from here on
	push := func(blob string, state State) Event {
		return Event{Type: EventPush, Name: "x", Digest: blob, State: state}
	}
	nothing := Event{Type: EventPush, Name: "x", State: StateStarted} // a push without a blob on its way
	for _, test := range []struct {
		name             string
		events           []Event
		packing, pushing Work
	}{
		{name: "nothing"},
		{"a step alone", []Event{step("a", StateStarted), step("a", StateDone)}, Work{}, Work{}},
		{"after the steps", []Event{step("a", StateStarted), step("a", StateDone), pack(StateStarted), pack(StateDone)}, Work{1, 0}, Work{}},
		{"within a step", []Event{step("a", StateStarted), pack(StateStarted), pack(StateDone), step("a", StateDone)}, Work{1, 1}, Work{}},
		{"by the step itself", []Event{
			step("a", StateStarted), itself("a"), pack(StateStarted), pack(StateDone), step("a", StateDone),
		}, Work{1, 0}, Work{}},
		{"by the step itself, beside another", []Event{
			step("a", StateStarted), itself("a"), pack(StateStarted), step("b", StateStarted), step("b", StateDone), pack(StateDone), step("a", StateDone),
		}, Work{3, 1}, Work{}},
		{"before that of a step that waits to pack its own", []Event{
			step("a", StateStarted), pack(StateStarted), push("1", StateStarted), itself("a"), pack(StateDone), push("1", StateDone),
			pack(StateStarted), pack(StateDone), step("a", StateDone),
		}, Work{4, 2}, Work{3, 1}},
		{"into the next step", []Event{
			pack(StateStarted), step("a", StateStarted), step("a", StateDone), nothing, step("b", StateStarted), pack(StateDone),
		}, Work{5, 2}, Work{}},
		{"beyond the last step", []Event{step("a", StateStarted), pack(StateStarted), step("a", StateFailed), nothing, pack(StateFailed)}, Work{3, 1}, Work{}},
		{"two layers count once", []Event{
			step("a", StateStarted), pack(StateStarted), pack(StateStarted), pack(StateDone), step("a", StateDone), pack(StateDone),
		}, Work{4, 3}, Work{}},
		{"two steps count once", []Event{
			step("a", StateStarted), step("b", StateStarted), pack(StateStarted), step("a", StateDone), pack(StateDone), step("b", StateDone),
		}, Work{2, 2}, Work{}},
		{"a cached step takes no time", []Event{pack(StateStarted), step("a", StateCached), pack(StateDone)}, Work{2, 0}, Work{}},
		{"a blob that starts again counts once", []Event{
			push("1", StateStarted), push("1", StateStarted), step("a", StateStarted), push("1", StateDone), step("a", StateDone),
		}, Work{}, Work{3, 1}},
		{"blobs that are there take no time", []Event{nothing, push("1", StateExists), push("2", StateExists)}, Work{}, Work{}},
		{"packed and pushed at once", []Event{
			step("a", StateStarted), pack(StateStarted), push("1", StateStarted), step("a", StateDone), push("1", StateDone), pack(StateDone),
		}, Work{4, 2}, Work{2, 1}},
	} {
		var o overlap
		for i, e := range test.events {
			if e.Time = time.Unix(int64(i), 0); e.Type == "" {
				o.packsItself(e.ID, e.Time)
			} else {
				o.note(e)
			}
		}
		about := cmpopts.EquateApprox(0, 1e-6)
		if diff := cmp.Diff([]Work{test.packing, test.pushing}, []Work{o.packing, o.pushing}, about); diff != "" {
			t.Errorf("%s: -want +got:\n%s", test.name, diff)
		}
	}
}
