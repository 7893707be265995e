package layer

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync"

	"github.com/lbuild/lbuild/diff"
)

// How far the walk and the reading of small files may be ahead of the tar.
const (
	aheadAfter = 128       // changes that a layer has before it is worth goroutines
	batchCount = 8         // batches that there are
	batchFiles = 128       // changes in each
	batchBytes = 256 << 10 // of small files in each; one more file may go beyond
	smallFile  = 128 << 10 // bytes; larger files are read when their turn comes
	readers    = 4         // that read batches; the kernel lets them wait for the disk side by side
)

// batch is a stretch of the changes with the content of its small files.
type batch struct {
	changes []diff.Change
	size    int64         // of the small files
	room    []byte        // that they are read into
	read    []content     // one for each change, when ready; those of other changes mean nothing
	ready   chan struct{} // has one element when the files were read
}

// content is what a small file holds, or why it could not be read.
type content struct {
	bytes []byte
	err   error
}

// ahead packs the changes in the order in which they come, in a goroutine of its own, while others read the small files
// of later ones.
type ahead struct {
	t       *tarWriter
	next    *batch
	made    int
	free    chan *batch
	toRead  chan *batch
	toPack  chan *batch
	failed  chan struct{} // closed when err is there
	err     error
	running sync.WaitGroup
}

// writeAll writes all changes. The first ones, which is all of a small layer, need no goroutine.
func writeAll(ctx context.Context, t *tarWriter, changes iter.Seq2[diff.Change, error]) (err error) {
	var a *ahead
	seen := 0
	for c, walkErr := range changes {
		if err = walkErr; err == nil {
			err = ctx.Err()
		}
		switch {
		case err != nil:
		case seen < aheadAfter:
			seen++
			err = t.write(ctx, c, nil)
		default:
			if a == nil {
				a = start(ctx, t)
			}
			err = a.add(c)
		}
		if err != nil {
			break
		}
	}
	if a != nil {
		// What comes earlier in the order of the changes is told first.
		if packErr := a.finish(); packErr != nil {
			return packErr
		}
	}
	if err != nil {
		return err
	}
	return ctx.Err()
}

func start(ctx context.Context, t *tarWriter) *ahead {
	a := &ahead{
		t:      t,
		free:   make(chan *batch, batchCount),
		toRead: make(chan *batch, batchCount),
		toPack: make(chan *batch, batchCount),
		failed: make(chan struct{}),
	}
	for range readers {
		a.running.Go(a.readAll)
	}
	a.running.Go(func() { a.packAll(ctx) })
	return a
}

var errStopped = errors.New("packing stopped")

// add takes a change. It fails when the packing did.
func (a *ahead) add(c diff.Change) error {
	b := a.next
	if b == nil {
		b = a.take()
		a.next = b
	}
	b.changes = append(b.changes, c)
	if isSmall(c) {
		b.size += c.Size
	}
	if len(b.changes) == batchFiles || b.size >= batchBytes {
		a.send()
	}
	select {
	case <-a.failed:
		return errStopped
	default:
		return nil
	}
}

// take returns a batch that is empty, and waits for one when enough are on their way.
func (a *ahead) take() *batch {
	if a.made < batchCount {
		a.made++
		return &batch{ready: make(chan struct{}, 1)}
	}
	b := <-a.free
	b.changes, b.size = b.changes[:0], 0
	return b
}

// send hands the batch to the readers and to the tar, which waits until it was read. The channels have room for all batches.
func (a *ahead) send() {
	a.toRead <- a.next
	a.toPack <- a.next
	a.next = nil
}

// finish sends the rest and waits for everything.
func (a *ahead) finish() error {
	if a.next != nil {
		a.send()
	}
	close(a.toRead)
	close(a.toPack)
	a.running.Wait()
	return a.err
}

func (a *ahead) packAll(ctx context.Context) {
	for b := range a.toPack {
		<-b.ready
		if a.err == nil {
			if a.err = a.pack(ctx, b); a.err != nil {
				close(a.failed)
			}
		}
		a.free <- b
	}
}

func (a *ahead) pack(ctx context.Context, b *batch) error {
	for i, c := range b.changes {
		if err := ctx.Err(); err != nil {
			return err
		}
		var read *content
		if isSmall(c) {
			read = &b.read[i]
		}
		if err := a.t.write(ctx, c, read); err != nil {
			return err
		}
	}
	return nil
}

func (a *ahead) readAll() {
	for b := range a.toRead {
		select {
		case <-a.failed:
		default:
			b.readFiles()
		}
		b.ready <- struct{}{}
	}
}

// isSmall reports whether a change is a file that is read ahead.
func isSmall(c diff.Change) bool {
	return c.Kind != diff.Delete && c.Mode.IsRegular() && c.Hardlink == "" && !c.Opaque && c.Size <= smallFile
}

// readFiles reads the small files, all into one piece of memory.
func (b *batch) readFiles() {
	b.read = slices.Grow(b.read[:0], len(b.changes))[:len(b.changes)]
	b.room = slices.Grow(b.room[:0], int(b.size))
	room := b.room[:b.size]
	for i, c := range b.changes {
		if isSmall(c) {
			b.read[i] = content{room[:c.Size], c.ReadAll(room[:c.Size])}
			room = room[c.Size:]
		}
	}
}
