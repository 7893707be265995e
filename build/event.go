package build

import "github.com/lbuild/lbuild/build/event"

// What a build sends to Request.Events, by the names of package event and with the constants here, so that who builds
// needs one import.
type (
	Event     = event.Event
	EventType = event.Type
	State     = event.State
	Work      = event.Work
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
