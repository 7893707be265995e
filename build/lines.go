package build

import (
	"bytes"

	"github.com/lbuild/lbuild/build/event"
)

// maxLogLine is where a line of output without an end is cut into two events, in bytes.
const maxLogLine = 64 << 10

// lines sends what is written to it as log events, a line each.
type lines struct {
	to     *event.Emitter
	id     string
	stream int
	rest   []byte
}

func (l *lines) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		i := bytes.IndexByte(l.rest, '\n')
		if i < 0 && len(l.rest) < maxLogLine {
			return len(p), nil
		}
		if i < 0 {
			l.send(l.rest)
			l.rest = l.rest[:0]
			return len(p), nil
		}
		l.send(bytes.TrimSuffix(l.rest[:i], []byte{'\r'}))
		l.rest = l.rest[i+1:]
	}
}

// flush sends a last line that has no end.
func (l *lines) flush() {
	if len(l.rest) > 0 {
		l.send(l.rest)
		l.rest = nil
	}
}

func (l *lines) send(line []byte) {
	l.to.Emit(Event{Type: EventLog, ID: l.id, Stream: l.stream, Text: string(line)})
}
