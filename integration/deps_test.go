package integration

import (
	_ "github.com/containerd/containerd/v2/core/images/archive"
	_ "github.com/containerd/containerd/v2/plugins/content/local"
	_ "github.com/google/go-cmp/cmp"
	_ "github.com/google/go-containerregistry/pkg/v1/layout"
	_ "github.com/google/go-containerregistry/pkg/v1/validate"
	_ "github.com/lbuild/lbuild/build"
	_ "golang.org/x/tools/txtar"
)
