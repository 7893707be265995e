package layer

import (
	"context"
	"errors"
	"io"
	"iter"
	"sync"

	"github.com/lbuild/lbuild/diff"
)

// How far the walk and the reading of small files may be ahead of the tar.
const (
	aheadAfter = 128       // changes that a layer has before it is worth goroutines
	batchCount = 6         // batches that are read, or wait for it
	batchFiles = 128       // changes in each
	batchBytes = 512 << 10 // of small files in each; one more file may go beyond
	smallFile  = 128 << 10 // bytes; larger files are read when their turn comes
	readers    = 4         // that read batches; the kernel lets them wait for the disk side by side
)

// batch is a stretch of the changes with the content of its small files.
type batch struct {
	changes []diff.Change
	size    int64     // of the small files
	read    []content // one for each change, when ready
	ready   chan struct{}
}

// content is what a small file holds, or why it could not be read.
type content struct {
	bytes []byte // nil where the file was not read
	err   error
}

// ahead packs the changes in the order in which they come, in a goroutine of its own, while others read the small files
// of later ones.
type ahead struct {
	t       *tarWriter
	next    batch
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
	a.next.changes = append(a.next.changes, c)
	if isSmall(c) {
		a.next.size += c.Size
	}
	if len(a.next.changes) < batchFiles && a.next.size < batchBytes {
		return nil
	}
	return a.send()
}

// send hands the batch to the readers and to the tar, which waits until it was read.
func (a *ahead) send() error {
	b := a.next
	b.ready = make(chan struct{})
	a.next = batch{}
	select {
	case <-a.failed:
		return errStopped
	case a.toPack <- &b:
	}
	a.toRead <- &b // the readers wait for nobody
	return nil
}

// finish sends the rest and waits for everything.
func (a *ahead) finish() error {
	if len(a.next.changes) > 0 {
		a.send() //nolint:errcheck // a.err has it
	}
	close(a.toRead)
	close(a.toPack)
	a.running.Wait()
	return a.err
}

func (a *ahead) packAll(ctx context.Context) {
	for b := range a.toPack {
		<-b.ready
		if a.err != nil {
			continue
		}
		if a.err = a.pack(ctx, b); a.err != nil {
			close(a.failed)
		}
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
		close(b.ready)
	}
}

// isSmall reports whether a change is a file that is read ahead.
func isSmall(c diff.Change) bool {
	return c.Kind != diff.Delete && c.Mode.IsRegular() && c.Hardlink == "" && !c.Opaque && c.Size <= smallFile
}

// readFiles reads the small files, all into one piece of memory.
func (b *batch) readFiles() {
	b.read = make([]content, len(b.changes))
	room := make([]byte, b.size)
	for i, c := range b.changes {
		if !isSmall(c) {
			continue
		}
		b.read[i] = readFile(c, room[:c.Size:c.Size])
		room = room[c.Size:]
	}
}

// readFile reads a whole file and what comes after it, which is its end if the file did not change.
func readFile(c diff.Change, p []byte) content {
	r, err := c.Open()
	if err != nil {
		return content{err: err}
	}
	if _, err = io.ReadFull(r, p); err == nil {
		if _, err = r.Read(nil); errors.Is(err, io.EOF) {
			err = nil
		}
	}
	return content{p, errors.Join(err, r.Close())}
}
