// Package pack turns trees into layers of the store, behind the running steps: it queues them, gives each its part of one
// budget of memory, compresses no block twice, remembers what it packed and, if asked to, proves it.
package pack

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/lbuild/lbuild/build/event"
	"github.com/lbuild/lbuild/build/internal/blocks"
	"github.com/lbuild/lbuild/build/internal/once"
	"github.com/lbuild/lbuild/diff"
	"github.com/lbuild/lbuild/diff/compress"
	"github.com/lbuild/lbuild/diff/layer"
	"github.com/lbuild/lbuild/snapshot"
)

// Packer packs the layers of all builds on one store.
type Packer struct {
	store  *snapshot.Store
	budget *budget
	builds atomic.Int64 // begun so far
}

// New makes a Packer for layers that take so many bytes of memory together, and of which so many are packed at once.
func New(store *snapshot.Store, memory int64, layers int) *Packer {
	return &Packer{store: store, budget: newBudget(memory, layers)}
}

// PeakMemory is the most that layers that were packed at once have been allowed to take so far, in bytes.
func (p *Packer) PeakMemory() int64 { return p.budget.peak() }

// Options say what the layers of a build hold.
type Options struct {
	Whiteouts diff.Whiteouts
	Epoch     *time.Time // no time in a layer is later
	Verify    bool       // unpack each layer that is packed, and fail unless that gives the tree
	Scratch   string     // a directory of the build's lease

	Events *event.Emitter
	Warn   func(line int, text string)
}

// Build packs the layers of one build, each once in each compression. It may be used from several goroutines.
type Build struct {
	*Packer
	Options
	number int64 // in the order in which builds began
	known  *blocks.Index
	layers once.Map[string, Layer]
	warned sync.Map // results that were walked for a layer
}

// Begin begins the packing of a build. It holds nothing that has to be given back.
func (p *Packer) Begin(o Options) *Build {
	known := blocks.New(blocks.Dir(p.store.Root()), o.Scratch, p.store.Content())
	return &Build{Packer: p, Options: o, number: p.builds.Add(1), known: known}
}

// Source is what a layer is packed from.
type Source struct {
	ID      string // of the result: what is packed under it is remembered by it
	HasTree bool   // the tree is the snapshot ID; false where the layer is all that there is
	// MakeTree makes that snapshot where it is needed and is not there; nil: it cannot be made.
	MakeTree func(context.Context) error

	Step string // that made it, for events
	Line int
	Rank int // layers of lower rank are packed first
}

// Placed is a tree in a workspace that the files of a COPY have not been copied to: they are packed from where they are.
type Placed struct {
	Dirs    snapshot.Dirs
	Changes func(iter.Seq2[diff.Change, error]) iter.Seq2[diff.Change, error] // completes what the walk finds
	Notes   []diff.Warning

	// Keep gives the records that are put together with the layer; none: the layer is thrown away.
	// It is not asked where nothing changed.
	Keep func(context.Context, Layer) ([]snapshot.Change, error)
}

// ErrLost says that the layer of a result is gone that had nothing else.
var ErrLost = errors.New("its layer is gone")

// Layer gives the layer of a result: the one that is remembered, else it is packed from the tree. A later call waits for
// the first.
func (b *Build) Layer(ctx context.Context, src Source, c compress.Compression) (Layer, error) {
	return b.layers.Do(b.Key(src.ID, c), func() (Layer, error) {
		l, ok, err := b.find(ctx, src.ID, c)
		if err != nil || ok {
			return l, err
		}
		if err := src.makeTree(ctx); err != nil {
			return l, err
		}
		l, err = b.pack(ctx, src, c, func(workers int) (Layer, error) { return b.fromTree(ctx, src, c, workers) })
		return l, b.failed(src, err)
	})
}

// Place packs the layer of a result that gets no tree.
func (b *Build) Place(ctx context.Context, src Source, c compress.Compression, p Placed) (Layer, error) {
	b.Events.PacksItself(src.Step)
	for _, w := range p.Notes {
		b.Warn(src.Line, w.String())
	}
	asked := time.Now()
	l, err := b.pack(ctx, src, c, func(workers int) (Layer, error) {
		return b.fromPlaced(ctx, src, c, workers, p, time.Since(asked))
	})
	if err == nil && l.Entries > 0 {
		_, err = b.layers.Do(b.Key(src.ID, c), func() (Layer, error) { return l, nil })
	}
	return l, b.failed(src, err)
}

// makeTree makes the tree, unless it is there.
func (s *Source) makeTree(ctx context.Context) error {
	switch {
	case s.HasTree:
		return nil
	case s.MakeTree == nil:
		return fmt.Errorf("result %s: %w", s.ID, ErrLost)
	}
	err := s.MakeTree(ctx)
	s.HasTree = err == nil
	return err
}

func (b *Build) failed(src Source, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("pack the layer of line %d: %w", src.Line, err)
}

// pack runs one packing as soon as there is room, and tells of it.
func (b *Build) pack(ctx context.Context, src Source, c compress.Compression, run func(workers int) (Layer, error)) (l Layer, err error) {
	workers, release, err := b.budget.room(ctx, turn{b.number, src.Rank}, c, 0)
	if err != nil {
		return Layer{}, err
	}
	defer release()
	err = b.tell(ctx, Event{ID: src.Step, Line: src.Line}, func() (done Event, err error) {
		if l, err = run(workers); err != nil {
			return done, err
		}
		done = Event{Seconds: l.Seconds, Unchanged: l.Unchanged, UnchangedBytes: l.UnchangedBytes, ReusedBytes: l.ReusedBytes}
		if l.Entries > 0 {
			done.Digest, done.Size, done.UncompressedSize = string(l.Digest), l.Size, l.UncompressedSize
		}
		return done, nil
	})
	return l, err
}

// Event is what packing tells of itself.
type Event = event.Event

// tell runs a packing, and says before that it begins and after how it ended: with what it returns, or with its error.
func (b *Build) tell(ctx context.Context, of Event, pack func() (done Event, err error)) error {
	b.Events.Emit(Event{Type: event.Pack, ID: of.ID, Line: of.Line, State: event.Started})
	end, err := pack()
	end.Type, end.ID, end.Line, end.State = event.Pack, of.ID, of.Line, event.Done
	if err != nil {
		end.State, end.Text = event.Outcome(ctx, err), err.Error()
	}
	b.Events.Emit(end)
	return err
}

// writing is one layer on its way into the store.
type writing struct {
	src      Source
	to       compress.Compression
	workers  int
	dirs     snapshot.Dirs
	complete func(iter.Seq2[diff.Change, error]) iter.Seq2[diff.Change, error] // what the walk finds; nil: it finds all
	keep     func(*snapshot.BlobWriter, Layer) (kept bool, err error)          // makes the blob whole, or leaves it
}

// fromTree packs a frozen snapshot.
func (b *Build) fromTree(ctx context.Context, src Source, c compress.Compression, workers int) (Layer, error) {
	dirs, err := b.store.Dirs(ctx, src.ID)
	if err != nil {
		return Layer{}, err
	}
	return b.write(ctx, writing{
		src: src, to: c, workers: workers, dirs: dirs,
		keep: func(blob *snapshot.BlobWriter, l Layer) (bool, error) {
			return true, b.keep(ctx, blob, src, c, dirs, l)
		},
	})
}

// fromPlaced packs what has no tree. Waited is how long that had to wait for its turn.
func (b *Build) fromPlaced(ctx context.Context, src Source, c compress.Compression, workers int, p Placed, waited time.Duration) (Layer, error) {
	keep := func(blob *snapshot.BlobWriter, l Layer) (bool, error) {
		if l.Entries == 0 {
			return false, nil
		}
		l.Waited = waited
		changes, err := p.Keep(ctx, l)
		if err != nil || len(changes) == 0 {
			return false, err
		}
		record, err := b.record(src, c, l)
		if err != nil {
			return false, err
		}
		return true, blob.Commit(ctx, l.Size, l.Digest, Uncompressed(l.DiffID), append([]snapshot.Change{record}, changes...)...)
	}
	return b.write(ctx, writing{src: src, to: c, workers: workers, dirs: p.Dirs, complete: p.Changes, keep: keep})
}

// write walks the tree and writes the layer.
func (b *Build) write(ctx context.Context, w writing) (_ Layer, err error) {
	blob, err := b.store.NewBlob(ctx)
	if err != nil {
		return Layer{}, err
	}
	defer func() { err = errors.Join(err, blob.Close()) }()
	started := time.Now()
	var stats diff.Stats
	changes := diff.Upper(ctx, diff.UpperOptions{
		Upper: w.dirs.Upper, Lower: w.dirs.Lower, UserXattr: w.dirs.UserXattr, Whiteouts: b.Whiteouts, Epoch: b.Epoch,
		Warn: b.warnOnce(w.src), Stats: &stats,
	})
	if w.complete != nil {
		changes = w.complete(changes)
	}
	known := b.known.Blob(ctx)
	defer known.Close()
	result, err := layer.Write(ctx, blob, changes, layer.Options{Compression: w.to, Workers: w.workers, Blocks: known, Epoch: b.Epoch})
	if err != nil {
		return Layer{}, err
	}
	l := Layer{
		Result: result, Seconds: time.Since(started).Seconds(), Unchanged: stats.Unchanged, UnchangedBytes: stats.UnchangedBytes,
		ReusedBytes: known.Reused(),
	}
	kept, err := w.keep(blob, l)
	if err == nil && kept && l.Entries > 0 {
		b.keepBlocks(known, l.Digest)
	}
	return l, err
}

// warnOnce tells what a layer cannot hold of a tree. Each compression walks it, and only the first one tells.
func (b *Build) warnOnce(src Source) func(diff.Warning) {
	if _, told := b.warned.LoadOrStore(src.ID, true); told {
		return nil
	}
	return func(w diff.Warning) { b.Warn(src.Line, w.String()) }
}

// keepBlocks remembers the packed blocks of a blob. Without them the next layer takes longer, and nothing else.
func (b *Build) keepBlocks(packed *blocks.Blob, d digest.Digest) {
	if err := packed.Keep(d); err != nil {
		b.Warn(0, fmt.Sprintf("later builds compress again what they could take from here: %v", err))
	}
}

// keep makes the blob of a layer whole and remembers it: at once, or where the user asked for proof once it was unpacked
// and compared.
func (b *Build) keep(ctx context.Context, blob *snapshot.BlobWriter, src Source, c compress.Compression, dirs snapshot.Dirs, l Layer) error {
	record, err := b.record(src, c, l)
	if err != nil {
		return err
	}
	labels := Uncompressed(l.DiffID)
	switch {
	case l.Entries > 0 && !b.Verify:
		return blob.Commit(ctx, l.Size, l.Digest, labels, record)
	case l.Entries > 0:
		if err := blob.Commit(ctx, l.Size, l.Digest, labels); err != nil {
			return err
		}
	}
	if b.Verify {
		if err := b.verify(ctx, dirs, l.Result); err != nil {
			return err
		}
	}
	return b.store.PutRecord(ctx, record)
}

// revision is part of every record of a layer; raise it when diff or diff/layer make other bytes of one tree.
const revision = "r1"

// Encoding names everything besides the result that a layer's bytes depend on.
func (b *Build) Encoding(c compress.Compression) string {
	parts := []string{revision, c.ID(), fmt.Sprint("whiteouts=", b.Whiteouts)}
	if b.Epoch != nil {
		parts = append(parts, fmt.Sprint("epoch=", b.Epoch.Unix()))
	}
	return strings.Join(parts, " ")
}
