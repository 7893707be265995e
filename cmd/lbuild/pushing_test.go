package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"
	"github.com/google/go-cmp/cmp"

	"github.com/lbuild/lbuild/build"
)

// pushingBuild pushes the layer of its first step while the second runs, and then ends the push in some way.
func pushingBuild(end build.State) []build.Event {
	const ref = "example.com/app:1"
	step := func(seconds float64, id string, state build.State) build.Event {
		return at(seconds, build.Event{Type: build.EventStep, ID: id, Name: "RUN " + id, State: state, Seconds: 1})
	}
	push := func(seconds float64, blob string, state build.State, current int64) build.Event {
		return at(seconds, build.Event{Type: build.EventPush, Name: ref, Digest: blob, State: state, Current: current, Total: 8_000_000})
	}
	return []build.Event{
		step(0, "1/2", build.StateStarted),
		step(1, "1/2", build.StateDone),
		step(1, "2/2", build.StateStarted),
		at(2, build.Event{Type: build.EventPush, Name: ref, State: build.StateStarted}),
		push(2, "sha256:1", build.StateExists, 8_000_000),
		push(2, "sha256:2", build.StateStarted, 0),
		push(3, "sha256:2", build.StateStarted, 2_000_000),
		push(4, "sha256:2", build.StateDone, 8_000_000),
		step(5, "2/2", build.StateDone),
		at(6, build.Event{Type: build.EventPush, Name: ref, State: end}),
	}
}

func TestThePlainLogHasThePushBetweenTheSteps(t *testing.T) {
	for end, last := range map[build.State]string{build.StateDone: "#3 DONE 4.0s", build.StateCanceled: "#3 CANCELED 4.0s"} {
		var out bytes.Buffer
		d := newPlainDisplay(&out)
		for _, e := range pushingBuild(end) {
			d.Show(e)
		}
		want := []string{
			"#1 [1/2] RUN 1/2", "#1 DONE 1.0s", "#2 [2/2] RUN 2/2",
			"#3 [push example.com/app:1]", "#3 sha256:1 exists", "#3 sha256:2 8MB 2.0s", "#2 DONE 1.0s", last, "",
		}
		if diff := cmp.Diff(want, strings.Split(out.String(), "\n")); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
}

// TestTheTerminalShowsAPushOnlyWhileItMoves looks after each event which lines are about the push.
func TestTheTerminalShowsAPushOnlyWhileItMoves(t *testing.T) {
	s := newScreen(false)
	var got, stays []string
	for _, e := range pushingBuild(build.StateDone) {
		stays = append(stays, s.apply(e)...)
		shown := ""
		for _, line := range s.lines(e.Time, 80, 24) {
			if _, text, ok := strings.Cut(ansi.Strip(line), "[push] "); ok {
				shown = text
			}
		}
		got = append(got, shown)
	}
	const ref = "example.com/app:1"
	want := []string{"", "", "", ref, "", ref + " 8MB of 16MB", ref + " 10MB of 16MB", "", "", ""}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if last := stays[len(stays)-1]; last != "✓     4.0s [push] "+ref {
		t.Errorf("the push ends with %q", last)
	}
}
