package build

import (
	"slices"
	"strings"
	"testing"
)

func TestNoRUNGetsTheNetworkThatTheRequestRefuses(t *testing.T) {
	b, _ := newTestBuilder(t)
	text := []byte("FROM scratch\nRUN --network=host [\"/x\"]\n")
	_, err := b.Build(t.Context(), Request{Context: t.TempDir(), BuildfileText: text, Network: "none"})
	if err == nil || !strings.Contains(err.Error(), "RUN --network=host in a build with the network none") {
		t.Errorf("got %v, want that the network is refused", err)
	}
}

func TestStagesWithoutTheCache(t *testing.T) {
	b, _ := newTestBuilder(t)
	text := []byte("FROM scratch AS One\nCOPY <<a <<b /\na\nb\nFROM one\nCOPY <<c /\nc\n")
	for _, test := range []struct {
		name   string
		states []State // of the two steps
		warned bool
	}{
		{"", []State{StateDone, StateDone}, false}, // the first build
		{"", []State{StateCached, StateCached}, false},
		{"ONE", []State{StateDone, StateDone}, false},
		{"1", []State{StateCached, StateDone}, false},
		{"tow", []State{StateCached, StateCached}, true},
	} {
		var states []State
		warned := false
		req := Request{Context: t.TempDir(), BuildfileText: text, Events: func(e Event) {
			warned = warned || e.Type == EventWarning && strings.Contains(e.Text, "no stage tow")
			if e.Type == EventStep && e.State != StateStarted {
				states = append(states, e.State)
			}
		}}
		if test.name != "" {
			req.NoCacheStages = []string{test.name}
		}
		if _, err := b.Build(t.Context(), req); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(states, test.states) || warned != test.warned {
			t.Errorf("%q: steps are %v, warned is %t; want %v and %t", test.name, states, warned, test.states, test.warned)
		}
	}
}
