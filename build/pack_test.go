package build

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lbuild/lbuild/build/internal/cache"

	"github.com/lbuild/lbuild/snapshot"
)

func TestEachCompressionOfASnapshotGivesItsWarningsOnce(t *testing.T) {
	b, ctx := newTestBuilder(t)
	ws, err := b.store.Prepare(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	root, err := ws.Mount(ctx)
	if err != nil {
		t.Fatal(err)
	}
	sparse := filepath.Join(root, "sparse")
	if err := errors.Join(os.WriteFile(sparse, nil, 0o644), os.Truncate(sparse, 4<<20)); err != nil {
		t.Fatal(err)
	}
	name := snapshot.NewName()
	if err := ws.Commit(ctx, name); err != nil {
		t.Fatal(err)
	}
	var warnings []string
	s, ctx, err := b.open(ctx, Request{Context: t.TempDir(), BuildfileText: []byte("FROM scratch\n"), Events: func(e Event) {
		if e.Type == EventWarning {
			warnings = append(warnings, e.Text)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	}()
	if err := s.parse(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []string{"gzip", "zstd"} {
		if _, err := s.pack(ctx, madeStep{Step: cache.Step{Snapshot: name}}, compression(t, c)); err != nil {
			t.Fatal(err)
		}
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], `"sparse" is sparse`) {
		t.Errorf("got %q, want one that the file is sparse", warnings)
	}
}
