package pack

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lbuild/lbuild/build/event"
	"github.com/lbuild/lbuild/build/internal/storetest"
	"github.com/lbuild/lbuild/snapshot"
)

// newStore opens a store that the test alone uses, and holds a lease so that what it writes is kept.
func newStore(t *testing.T) (*snapshot.Store, context.Context) {
	t.Helper()
	store := storetest.Open(t)
	return store, storetest.Lease(t, store)
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
