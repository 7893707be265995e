//go:build race

package layer_test

// The race detector watches goroutines, which do the same in each history, and makes them slow.
const (
	historyCount   = 100
	treesHistories = 30
)
