package build

import "github.com/lbuild/lbuild/build/event"

// Event, EventType, State and Work are what a build sends to Request.Events: those of package event, and here so that who
// builds needs one import.
type (
	// Event is one thing that happened.
	Event = event.Event
	// EventType says which fields of an Event are set.
	EventType = event.Type
	// State is where a step or a transfer stands.
	State = event.State
	// Work is how long one kind of work took, and how much of it cost no time because steps ran meanwhile.
	Work = event.Work
)

// The types of events. See package event for which fields of an Event each sets.
const (
	EventStep    = event.Step
	EventLog     = event.Log
	EventPull    = event.Pull
	EventUnpack  = event.Unpack
	EventPack    = event.Pack
	EventPush    = event.Push
	EventWarning = event.Warning
	EventError   = event.Error
	EventResult  = event.Result
)

// Where a step or a transfer stands.
const (
	StateStarted  = event.Started
	StateCached   = event.Cached
	StateDone     = event.Done
	StateFailed   = event.Failed
	StateCanceled = event.Canceled
	StateExists   = event.Exists
)
