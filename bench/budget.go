package bench

import (
	"strings"

	"github.com/lbuild/lbuild/diff/compress"
)

const mebibyte = 1 << 20

// How builds share out memory. Package build has the same figures, and a test compares them.
const (
	buildMemory  = 192 << 20 // bytes, by default
	layerMemory  = 8 << 20   // bytes of a layer besides its workers
	leastWorkers = 2
)

// budget is what a build needs to pack its only layer with as many workers as r had, of which it never uses more than
// there are cores; 0 where the default is enough. It leaves room to begin another layer, as builds do.
func (r *Result) budget(cores int) int64 {
	c, err := compress.Parse(strings.TrimPrefix(r.Codec, ownPrefix))
	if err != nil {
		return 0
	}
	each := c.WorkerMemory()
	workers := int64(min(r.Workers, max(cores, leastWorkers)))
	if each == 0 || workers <= workersIn(buildMemory, each) {
		return 0
	}
	return layerMemory + workers*each + leastOf(each)
}

// workersIn is how many workers a build's only layer has in a budget.
func workersIn(memory, each int64) int64 {
	if least := leastOf(each); memory >= 2*least {
		memory -= least
	}
	return (memory - layerMemory) / each
}

// leastOf is what a layer waits for.
func leastOf(each int64) int64 { return layerMemory + leastWorkers*each }
