package images

import (
	"context"
	"maps"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
)

func TestTagAndRemoveKeepTheOtherNames(t *testing.T) {
	m, ctx := newTestImages(t)
	one, _ := putManifest(ctx, t, m, "one", "amd64")
	two, _ := putManifest(ctx, t, m, "two", "amd64")
	name(ctx, t, m, "docker.io/library/app:1", one)
	name(ctx, t, m, "docker.io/library/app:2", two)
	for _, target := range []string{"app", "example.com/x:3", "app:2"} { // app:2 moves
		if err := m.Tag(ctx, "app:1", target); err != nil {
			t.Fatal(err)
		}
	}
	for _, bad := range []string{"", "UPPER", "app@" + one.Digest.String()} {
		if err := m.Tag(ctx, "app:1", bad); err == nil {
			t.Errorf("name %q was taken", bad)
		}
	}
	if err := m.Tag(ctx, "nothing", "app:4"); !errdefs.IsNotFound(err) {
		t.Errorf("got %v, want not found", err)
	}
	want := map[string]digest.Digest{
		"docker.io/library/app:1": one.Digest, "docker.io/library/app:2": one.Digest,
		"docker.io/library/app:latest": one.Digest, "example.com/x:3": one.Digest,
	}
	if diff := cmp.Diff(want, targets(ctx, t, m)); diff != "" {
		t.Errorf("tagged: -want +got:\n%s", diff)
	}

	removed, err := m.Remove(ctx, []string{"app:1", "nothing", "example.com/x:3"})
	if !errdefs.IsNotFound(err) {
		t.Errorf("got %v, want that one name is not found", err)
	}
	if diff := cmp.Diff([]string{"docker.io/library/app:1", "example.com/x:3"}, removed); diff != "" {
		t.Errorf("removed: -want +got:\n%s", diff)
	}
	removed, err = m.Remove(ctx, []string{one.Digest.String()})
	if err != nil || len(removed) != 2 {
		t.Errorf("by digest: got %v and %v, want two names", removed, err)
	}
	if diff := cmp.Diff(map[string]digest.Digest{}, targets(ctx, t, m)); diff != "" {
		t.Errorf("at the end: -want +got:\n%s", diff)
	}
}

func targets(ctx context.Context, t *testing.T, m *Images) map[string]digest.Digest {
	t.Helper()
	records, err := m.store.Images().List(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return maps.Collect(func(yield func(string, digest.Digest) bool) {
		for _, r := range records {
			if !yield(r.Name, r.Target.Digest) {
				return
			}
		}
	})
}
