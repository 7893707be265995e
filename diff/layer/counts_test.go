//go:build !race

package layer_test

// How many random histories are tried.
const (
	historyCount   = 2000
	treesHistories = 300
)
