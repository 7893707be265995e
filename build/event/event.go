// Package event holds what a build, and what is done with images, tells of itself while it runs.
//
// An Emitter sends Events: to one function, one at a time, in order. Whoever follows a build needs nothing else of lbuild.
package event

import "time"

// Type says which fields of an Event are set.
type Type string

// The events of a build. Their JSON form is what --progress=json prints.
const (
	Step    Type = "step"    // ID, Stage, Line, Name, State, Seconds
	Log     Type = "log"     // ID, Text: one line of a step's output, Stream 1 or 2
	Pull    Type = "pull"    // Name (reference), Digest, Current, Total, State
	Pack    Type = "pack"    // ID, Digest, Size, UncompressedSize, Unchanged, UnchangedBytes, ReusedBytes, State, Seconds; no Digest where nothing changed
	Push    Type = "push"    // Name (reference), Digest, Current, Total, State
	Unpack  Type = "unpack"  // a layer of an image that is unpacked or imported: Name (reference), Digest, Current, Total, State
	Warning Type = "warning" // File, Line, Text
	Error   Type = "error"   // Text
	Result  Type = "result"  // Digest (manifest), Packing, Pushing
)

// State is where a step or a transfer stands.
type State string

// A step goes from started to exactly one of the others; a cached step has no started before it. A push or pull of an image,
// which is an event without a Digest, goes from started to done, failed or canceled; between come its blobs. A push starts
// with its first layer, which may be long before the last step ends. Each layer that is unpacked or imported goes from started, which
// comes again with more bytes, to done, failed or canceled.
const (
	Started  State = "started"
	Cached   State = "cached"
	Done     State = "done"
	Failed   State = "failed"
	Canceled State = "canceled"
	Exists   State = "exists" // a transfer that was not needed
)

// Event is one thing that happened. Fields that its type does not name are zero.
type Event struct {
	Version int       `json:"v"`
	Time    time.Time `json:"time"`
	Type    Type      `json:"type"`

	ID       string  `json:"id,omitempty"`       // of the step, unique in a build, e.g. "builder 2/5", or "2/5" if the only stage has no name; or "base layer 3/5"
	Stage    string  `json:"stage,omitempty"`    // name or number
	Platform string  `json:"platform,omitempty"` // of the step, in a build for several platforms
	File     string  `json:"file,omitempty"`     // as typed after -f
	Line     int     `json:"line,omitempty"`
	Name     string  `json:"name,omitempty"`
	State    State   `json:"state,omitempty"`
	Seconds  float64 `json:"seconds,omitempty"`
	Stream   int     `json:"stream,omitempty"`
	Text     string  `json:"text,omitempty"`

	Digest           string `json:"digest,omitempty"`
	Size             int64  `json:"size,omitempty"`              // bytes
	UncompressedSize int64  `json:"uncompressed_size,omitempty"` // bytes
	Unchanged        int    `json:"unchanged,omitempty"`         // files that were copied up, not changed and left out
	UnchangedBytes   int64  `json:"unchanged_bytes,omitempty"`   // their size
	ReusedBytes      int64  `json:"reused_bytes,omitempty"`      // of Size, taken from layers of the store and not compressed
	Current          int64  `json:"current,omitempty"`           // bytes
	Total            int64  `json:"total,omitempty"`             // bytes

	Packing Work `json:"packing,omitzero"` // of the build's layers
	Pushing Work `json:"pushing,omitzero"`
}
