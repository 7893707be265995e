package cache

import "path/filepath"

// FileDigests is the directory in which digests of context files are kept, under the root of the store. It may be removed
// at any time.
func FileDigests(root string) string { return filepath.Join(root, "digests") }
