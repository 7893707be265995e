package solve

import (
	"slices"
	"strings"
	"testing"

	"github.com/lbuild/lbuild/build/event"
)

func TestLogEventsAreWholeLines(t *testing.T) {
	var got []string
	l := &lines{to: &event.Emitter{Sink: func(e event.Event) { got = append(got, e.Text) }}}
	for _, part := range []string{"a", "b\r\nc\n\nd", "e"} {
		if n, err := l.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatalf("wrote %d, %v", n, err)
		}
	}
	l.flush()
	l.flush()
	if want := []string{"ab", "c", "", "de"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestALineWithoutAnEndIsCut(t *testing.T) {
	var got []int
	l := &lines{to: &event.Emitter{Sink: func(e event.Event) { got = append(got, len(e.Text)) }}}
	for range 3 {
		if _, err := l.Write([]byte(strings.Repeat("x", maxLogLine/2))); err != nil {
			t.Fatal(err)
		}
	}
	l.flush()
	if want := []int{maxLogLine, maxLogLine / 2}; !slices.Equal(got, want) {
		t.Errorf("lines of %d bytes, want %d", got, want)
	}
}
