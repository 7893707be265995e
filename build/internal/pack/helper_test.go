package pack

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lbuild/lbuild/build/event"
	"github.com/lbuild/lbuild/snapshot"
)

// newStore opens a store that the test alone uses, and holds a lease so that what it writes is kept.
func newStore(t *testing.T) (*snapshot.Store, context.Context) {
	t.Helper()
	if os.Geteuid() != 0 {
		missing(t, "root, for the store")
	}
	store, err := snapshot.Open(t.Context(), snapshot.Options{Root: t.TempDir(), Warn: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	lease, err := store.Lease(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lease.Release(); err != nil {
			t.Error(err)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store, lease.Context(t.Context())
}

func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("LBUILD_TEST_STRICT") == "1" {
		t.Fatal("missing: " + what)
	}
	t.Skip("missing: " + what)
}

// begin begins the packing of a build. Told lists what its events said so far: which packing, and how it stands.
func begin(t *testing.T, p *Packer, o Options) (b *Build, told func() []string) {
	t.Helper()
	var list []string
	o.Scratch = t.TempDir()
	o.Events = &event.Emitter{Sink: func(e event.Event) { list = append(list, e.ID+" "+string(e.State)) }}
	if o.Warn == nil {
		o.Warn = func(_ int, text string) { t.Errorf("warning: %s", text) }
	}
	return p.Begin(o), func() []string { return list }
}

// step freezes a snapshot on another one, in which write has changed something.
func step(ctx context.Context, t *testing.T, store *snapshot.Store, below string, write func(root string) error) (name string) {
	t.Helper()
	ws, err := store.Prepare(ctx, below)
	if err != nil {
		t.Fatal(err)
	}
	root, err := ws.Mount(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := write(root); err != nil {
		t.Fatal(err)
	}
	name = snapshot.NewName()
	if err := ws.Commit(ctx, name); err != nil {
		t.Fatal(err)
	}
	return name
}

// file writes a file "a", always with the same time.
func file(text string) func(root string) error {
	return func(root string) error {
		name := filepath.Join(root, "a")
		return errors.Join(os.WriteFile(name, []byte(text), 0o644), os.Chtimes(name, time.Time{}, time.Unix(1000, 0)))
	}
}
