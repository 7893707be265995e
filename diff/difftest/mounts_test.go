//go:build !race

package difftest_test

import (
	"os"
	"slices"

	"github.com/lbuild/lbuild/diff/difftest"
)

// mounts are one of each kind, or with LBUILD_TEST_MOUNTS=all every combination that the kernel takes.
func mounts() []difftest.Mount {
	if os.Getenv("LBUILD_TEST_MOUNTS") == "all" {
		return everyMount()
	}
	return difftest.Mounts()
}

func userMounts() []difftest.Mount { return difftest.UserMounts() }

// everyMount combines all properties. metacopy needs redirect_dir, and neither goes with userxattr.
func everyMount() (all []difftest.Mount) {
	bytesBelow := [][]string{nil, {"redirect_dir=on"}, {"redirect_dir=on", "metacopy=on"}}
	for _, user := range []bool{false, true} {
		for _, below := range bytesBelow {
			if user && below != nil {
				continue
			}
			for _, more := range [][]string{nil, {"index=on"}, {"volatile"}, {"index=on", "volatile"}} {
				for _, depth := range []int{1, 2, 120} {
					for _, tmpfs := range []bool{false, true} {
						all = append(all, difftest.Mount{
							UserXattr: user, Options: slices.Concat(below, more), Depth: depth, Tmpfs: tmpfs,
						})
					}
				}
			}
		}
	}
	return all
}
