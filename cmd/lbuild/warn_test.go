package main

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/lbuild/lbuild/build"
)

func TestWarningsOfTheStoreHaveTheFormOfTheProgress(t *testing.T) {
	for mode, want := range map[progressMode]string{
		progressJSON: `"type":"warning","text":"left for later"}`,
		progressTTY:  "warning: left for later",
		"":           "warning: left for later",
	} {
		var out bytes.Buffer
		a := &app{stderr: &out, progress: mode}
		a.warnOfStore(errors.New("left for \x07later"))
		if got := strings.ReplaceAll(out.String(), `\u0007`, ""); !strings.HasSuffix(got, want+"\n") {
			t.Errorf("%q: got %q, want it to end in %q", mode, got, want)
		}
	}
}

func TestWarningsOfTheStoreGoThroughTheDisplay(t *testing.T) {
	var raw bytes.Buffer
	var shown eventTypes
	a := &app{stderr: &raw}
	r := newRecorder(&shown, false)
	a.shown.Store(r)
	a.warnOfStore(errors.New("while it runs"))
	r.finish(t.Context(), "", nil)
	a.warnOfStore(errors.New("after its end"))
	if !slices.Equal(shown, eventTypes{build.EventWarning, build.EventResult}) {
		t.Errorf("the display got %v", shown)
	}
	if got := raw.String(); got != "warning: after its end\n" {
		t.Errorf("stderr has %q", got)
	}
}
