package base

import (
	"context"
	"io"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/opencontainers/go-digest"

	"github.com/lbuild/lbuild/build/event"
)

// importInterval is how often the import of a blob tells how far it is.
const importInterval = 200 * time.Millisecond

// importing is the store of blobs, telling how far each is that is written to it. Blobs that are there are not written.
func (f *Finder) importing(name string) content.Store {
	return &importer{Store: f.Store.Content(), name: name, events: f.Events}
}

type importer struct {
	content.Store
	name   string
	events *event.Emitter
}

// Writer is content.Ingester's.
func (i *importer) Writer(ctx context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	w, err := i.Store.Writer(ctx, opts...)
	if err != nil {
		return nil, err
	}
	var o content.WriterOpts
	for _, opt := range opts {
		if err := opt(&o); err != nil {
			return nil, err
		}
	}
	about := event.Event{Type: event.Unpack, Name: i.name, Digest: string(o.Desc.Digest), Total: o.Desc.Size, State: event.Started}
	return &importWriter{Writer: w, ctx: ctx, events: i.events, about: about, last: time.Now()}, nil
}

// importWriter counts the bytes of a blob.
type importWriter struct {
	content.Writer
	ctx    context.Context //nolint:containedctx // of the import: Close has none, and says how that came out
	events *event.Emitter
	about  event.Event // Current is the bytes so far
	last   time.Time   // when something was told
}

func (w *importWriter) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	w.about.Current += int64(n)
	if now := time.Now(); now.Sub(w.last) >= importInterval {
		w.last = now
		w.events.Emit(w.about)
	}
	return n, err
}

// Commit is content.Writer's.
func (w *importWriter) Commit(ctx context.Context, size int64, expected digest.Digest, opts ...content.Opt) error {
	err := w.Writer.Commit(ctx, size, expected, opts...)
	if err == nil {
		w.about.Digest, w.about.State = string(w.Digest()), event.Done
		w.events.Emit(w.about)
	}
	return err
}

// Close is content.Writer's. A blob that is not whole by then has failed.
func (w *importWriter) Close() error {
	if w.about.State == event.Started {
		w.about.State = event.Outcome(w.ctx, io.ErrUnexpectedEOF)
		w.events.Emit(w.about)
	}
	return w.Writer.Close()
}
