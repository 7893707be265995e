package images

import (
	"github.com/lbuild/lbuild/build/event"
	"github.com/lbuild/lbuild/build/internal/remote"
)

// transfer sends the events that begin and end the transfer of an image.
func transfer(to *event.Emitter, kind event.Type, name string, fn func() error) error {
	to.Emit(event.Event{Type: kind, Name: name, State: event.Started})
	err := fn()
	state := event.Done
	if err != nil {
		state = event.Failed
	}
	to.Emit(event.Event{Type: kind, Name: name, State: state})
	return err
}

// progressEvent is what the progress of a blob is to those who follow a pull or push of the image name.
func progressEvent(kind event.Type, name string, at remote.Progress) event.Event {
	return event.Event{
		Type: kind, Name: name, Digest: string(at.Digest), State: event.State(at.State), Current: at.Current, Total: at.Total,
	}
}
