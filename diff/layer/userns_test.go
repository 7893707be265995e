package layer_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/lbuild/lbuild/diff/internal/treetest"
)

// TestLayerHoldsWhatAStepChangedInAUserNamespace runs the rows on mounts that whoever is not root makes: the marks are in
// user.overlay.
func TestLayerHoldsWhatAStepChangedInAUserNamespace(t *testing.T) {
	if !treetest.UserNamespace(t) {
		return
	}
	t.Run("disk", allowedRows)
	t.Run("tmpfs", func(t *testing.T) {
		t.Setenv("TMPDIR", treetest.Tmpfs(t, 0))
		allowedRows(t)
	})
}

// allowedRows runs those that the kernel allows, with userxattr.
func allowedRows(t *testing.T) {
	for _, r := range rows() {
		if r.onlyRoot != "" || slices.ContainsFunc(r.mount, isRefusedWithUserxattr) {
			continue
		}
		r.opts.UserXattr = true
		if !slices.Contains(r.mount, "userxattr") {
			r.mount = append(slices.Clone(r.mount), "userxattr")
		}
		t.Run(r.name, func(t *testing.T) { r.run(t) })
	}
}

func isRefusedWithUserxattr(option string) bool {
	return strings.HasPrefix(option, "redirect_dir=") || strings.HasPrefix(option, "metacopy=")
}
