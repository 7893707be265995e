package event

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// TestWorkIsHiddenWhereStepsRun has one event at each second.
func TestWorkIsHiddenWhereStepsRun(t *testing.T) {
	step := func(id string, state State) Event { return Event{Type: Step, ID: id, State: state} }
	pack := func(state State) Event { return Event{Type: Pack, State: state} }
	itself := func(id string) Event { return Event{ID: id} } // no event: the step packs its own layer from here on
	push := func(blob string, state State) Event {
		return Event{Type: Push, Name: "x", Digest: blob, State: state}
	}
	nothing := Event{Type: Push, Name: "x", State: Started} // a push without a blob on its way
	for _, test := range []struct {
		name             string
		events           []Event
		packing, pushing Work
	}{
		{name: "nothing"},
		{"a step alone", []Event{step("a", Started), step("a", Done)}, Work{}, Work{}},
		{"after the steps", []Event{step("a", Started), step("a", Done), pack(Started), pack(Done)}, Work{1, 0}, Work{}},
		{"within a step", []Event{step("a", Started), pack(Started), pack(Done), step("a", Done)}, Work{1, 1}, Work{}},
		{"by the step itself", []Event{
			step("a", Started), itself("a"), pack(Started), pack(Done), step("a", Done),
		}, Work{1, 0}, Work{}},
		{"by the step itself, beside another", []Event{
			step("a", Started), itself("a"), pack(Started), step("b", Started), step("b", Done), pack(Done), step("a", Done),
		}, Work{3, 1}, Work{}},
		{"before that of a step that waits to pack its own", []Event{
			step("a", Started), pack(Started), push("1", Started), itself("a"), pack(Done), push("1", Done),
			pack(Started), pack(Done), step("a", Done),
		}, Work{4, 2}, Work{3, 1}},
		{"into the next step", []Event{
			pack(Started), step("a", Started), step("a", Done), nothing, step("b", Started), pack(Done),
		}, Work{5, 2}, Work{}},
		{"beyond the last step", []Event{step("a", Started), pack(Started), step("a", Failed), nothing, pack(Failed)}, Work{3, 1}, Work{}},
		{"two layers count once", []Event{
			step("a", Started), pack(Started), pack(Started), pack(Done), step("a", Done), pack(Done),
		}, Work{4, 3}, Work{}},
		{"two steps count once", []Event{
			step("a", Started), step("b", Started), pack(Started), step("a", Done), pack(Done), step("b", Done),
		}, Work{2, 2}, Work{}},
		{"a cached step takes no time", []Event{pack(Started), step("a", Cached), pack(Done)}, Work{2, 0}, Work{}},
		{"a blob that starts again counts once", []Event{
			push("1", Started), push("1", Started), step("a", Started), push("1", Done), step("a", Done),
		}, Work{}, Work{3, 1}},
		{"blobs that are there take no time", []Event{nothing, push("1", Exists), push("2", Exists)}, Work{}, Work{}},
		{"packed and pushed at once", []Event{
			step("a", Started), pack(Started), push("1", Started), step("a", Done), push("1", Done), pack(Done),
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
