package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
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
