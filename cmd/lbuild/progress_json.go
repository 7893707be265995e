package main

import (
	"encoding/json"
	"io"

	"github.com/lbuild/lbuild/build"
)

// jsonDisplay prints each event as one line.
type jsonDisplay struct{ out *json.Encoder }

func newJSONDisplay(w io.Writer) jsonDisplay {
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	return jsonDisplay{out}
}

// Show prints e. A stderr that is gone does not stop the build.
func (d jsonDisplay) Show(e build.Event) { _ = d.out.Encode(e) }

// Close has nothing to do.
func (jsonDisplay) Close() {}
