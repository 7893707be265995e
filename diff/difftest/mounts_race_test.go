//go:build race

package difftest_test

import "github.com/lbuild/lbuild/diff/difftest"

// mounts are few: the race detector looks at the differ and not at the kernel, and makes trials slow.
func mounts() []difftest.Mount { return difftest.Mounts()[:1] }

func userMounts() []difftest.Mount { return difftest.UserMounts()[:1] }
