package main

import (
	"fmt"
	"io"

	"github.com/lbuild/lbuild/build"
)

// quietDisplay prints warnings only.
type quietDisplay struct{ w io.Writer }

// Show prints e when it is a warning.
func (d quietDisplay) Show(e build.Event) {
	if e.Type == build.EventWarning {
		fmt.Fprintln(d.w, warningLine(e))
	}
}

// Close has nothing to do.
func (quietDisplay) Close() {}
