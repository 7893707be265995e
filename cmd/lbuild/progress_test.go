package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lbuild/lbuild/build"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares got with a file in testdata, or writes it with -update.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s: -want +got:\n%s", path, diff)
	}
}

// clock is when the example build starts.
var clock = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// at dates an event, in seconds after the start.
func at(seconds float64, e build.Event) build.Event {
	e.Version, e.Time = 1, clock.Add(time.Duration(seconds*float64(time.Second)))
	return e
}

// failingBuild has two stages side by side, of which one fails.
func failingBuild() []build.Event {
	const ref = "docker.io/library/debian:13"
	blob, other := "sha256:"+zeros, "sha256:11"+zeros[2:]
	step := func(seconds float64, id, name string, state build.State, took float64) build.Event {
		return at(seconds, build.Event{Type: build.EventStep, ID: id, Stage: id[:1], Line: 3, Name: name, State: state, Seconds: took})
	}
	log := func(seconds float64, id, text string) build.Event {
		return at(seconds, build.Event{Type: build.EventLog, ID: id, Stream: 1, Text: text})
	}
	return []build.Event{
		at(0, build.Event{Type: build.EventWarning, File: "Buildfile", Line: 1, Text: "stage name \x1b[31mBase\x1b[0m is not lower-case"}),
		at(0.1, build.Event{Type: build.EventPull, Name: ref, State: build.StateStarted}),
		at(0.2, build.Event{Type: build.EventPull, Name: ref, Digest: other, State: build.StateExists, Total: 5000}),
		at(0.2, build.Event{Type: build.EventPull, Name: ref, Digest: blob, State: build.StateStarted, Total: 48_000_000}),
		at(1.2, build.Event{Type: build.EventPull, Name: ref, Digest: blob, State: build.StateStarted, Current: 12_000_000, Total: 48_000_000}),
		at(2.2, build.Event{Type: build.EventPull, Name: ref, Digest: blob, State: build.StateDone, Current: 48_000_000, Total: 48_000_000}),
		at(2.3, build.Event{Type: build.EventPull, Name: ref, State: build.StateDone}),
		step(2.4, "a 1/2", "COPY . /src", build.StateCached, 0),
		step(2.5, "a 2/2", "RUN make <<EOF\nall\nEOF", build.StateStarted, 0),
		step(2.5, "b 1/1", "RUN apt-get update && apt-get install -y a-package-with-a-long-name", build.StateStarted, 0),
		log(3, "a 2/2", "cc -c main.c"),
		log(3.25, "b 1/1", "Reading package lists...\rReading package lists... Done"),
		log(3.5, "a 2/2", "\x1b[2J\x1b[1;31mmain.c:3: error\x1b[0m\tunknown type\x07"),
		log(3.5, "a 2/2", "make: *** [all] Error 1"),
		at(3.6, build.Event{Type: build.EventPack, ID: "a 1/2", State: build.StateStarted}),
		at(3.9, build.Event{Type: build.EventPack, ID: "a 1/2", State: build.StateDone, Digest: blob, Size: 1_200_000, UncompressedSize: 4_000_000, Seconds: 0.3, Unchanged: 3, UnchangedBytes: 12_000_000}),
		step(4, "a 2/2", "RUN make <<EOF\nall\nEOF", build.StateFailed, 1.5),
		step(4.1, "b 1/1", "RUN apt-get update && apt-get install -y a-package-with-a-long-name", build.StateCanceled, 1.6),
	}
}

func TestPlainProgressIsALog(t *testing.T) {
	var out bytes.Buffer
	d := newPlainDisplay(&out)
	for _, e := range failingBuild() {
		d.Show(e)
	}
	d.Close()
	golden(t, "progress/plain.golden", out.Bytes())
}

// No step brings up a layer of the base, and packing it may take minutes.
func TestALayerOfTheBaseIsShownFromItsBeginning(t *testing.T) {
	var out bytes.Buffer
	plain, screen := newPlainDisplay(&out), newScreen(false)
	for _, n := range []string{"1/2", "2/2"} {
		e := at(0, build.Event{Type: build.EventPack, ID: "base layer " + n, State: build.StateStarted})
		plain.Show(e)
		screen.apply(e)
	}
	status := screen.lines(clock, 80, 24)
	if want := []string{"  0 done · 0 running · 2 layers being packed · 0.0s"}; !slices.Equal(status, want) {
		t.Errorf("the terminal shows %q, want %q", status, want)
	}
	plain.Show(at(3, build.Event{
		Type: build.EventPack, ID: "base layer 2/2", State: build.StateDone, Digest: "sha256:1", Size: 1_200_000, UncompressedSize: 4_000_000, Seconds: 3,
	}))
	want := "#1 [base layer 1/2]\n#2 [base layer 2/2]\n#2 packed 4MB to 1.2MB in 3.0s sha256:1\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestJSONProgressIsOneObjectALine(t *testing.T) {
	var out bytes.Buffer
	r := newRecorder(newJSONDisplay(&out), false)
	for _, e := range failingBuild() {
		r.Show(e)
	}
	r.Show(at(5, build.Event{Type: build.EventError, Text: "Buildfile:3: exit status 2"}))
	r.finish(context.Background(), "", errors.New("exit status 2"))
	golden(t, "progress/json.golden", out.Bytes())
}

func TestQuietProgressShowsWarningsOnly(t *testing.T) {
	var out bytes.Buffer
	d := quietDisplay{&out}
	for _, e := range failingBuild() {
		d.Show(e)
	}
	d.Close()
	if got, want := out.String(), "warning: Buildfile:1: stage name Base is not lower-case\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAFailedStepShowsItsLastLinesAgain(t *testing.T) {
	var out bytes.Buffer
	r := newRecorder(quietDisplay{&out}, true)
	for _, e := range failingBuild() {
		r.Show(e)
	}
	out.Reset()
	r.writeFailed(&out)
	want := "last output of [a 2/2] RUN make <<EOF …:\n" +
		"  │ cc -c main.c\n" +
		"  │ main.c:3: error unknown type\n" +
		"  │ make: *** [all] Error 1\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestTheEndOfABuildIsOneEvent(t *testing.T) {
	for name, test := range map[string]struct {
		seen []build.Event
		err  error
		want []build.EventType
	}{
		"success":                  {nil, nil, []build.EventType{build.EventResult}},
		"failure":                  {nil, errors.New("x"), []build.EventType{build.EventError}},
		"sent by the build itself": {[]build.Event{{Type: build.EventResult}}, nil, []build.EventType{build.EventResult}},
	} {
		t.Run(name, func(t *testing.T) {
			var got eventTypes
			r := newRecorder(&got, false)
			for _, e := range test.seen {
				r.Show(e)
			}
			r.finish(context.Background(), "sha256:x", test.err)
			if diff := cmp.Diff(test.want, []build.EventType(got)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// eventTypes is a display that keeps what it is shown.
type eventTypes []build.EventType

func (l *eventTypes) Show(e build.Event) { *l = append(*l, e.Type) }
func (*eventTypes) Close()               {}

func TestPrintableLeavesNothingThatActsOnATerminal(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                           "plain",
		"tab\tstop":                       "tab stop",
		"\x1b[1mbold\x1b[0m":              "bold",
		"10%\r50%\r100%\r":                "100%",
		"\x1b]0;title\x07text":            "text",
		"bell\x07 backspace\x08 del\x7f":  "bell backspace del",
		"\u009b31mc1":                     "31mc1",
		"ünï ✓ 漢字":                        "ünï ✓ 漢字",
		"\x1b[2J\x1b[H\x1b[?25lhostile\n": "hostile",
	} {
		if got := printable(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
