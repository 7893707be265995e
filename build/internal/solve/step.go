package solve

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/lbuild/lbuild/build/event"
	"github.com/lbuild/lbuild/build/internal/cache"
	"github.com/lbuild/lbuild/build/internal/op"
	"github.com/lbuild/lbuild/build/internal/plan"
	"github.com/lbuild/lbuild/build/internal/source"
	"github.com/lbuild/lbuild/snapshot"
)

// step is a node with an instruction, once what it stands on is known. It is used by one goroutine.
type step struct {
	*solving
	node  *plan.Node
	below *Result
	reads []readable
	lock  string                                       // of what would come out the same
	key   plan.Key                                     // "": known only once the files were read
	apply func(ctx context.Context, root string) error // on a mounted workspace

	// Of a COPY only.
	waited  time.Duration                                                  // for its turn to pack its layer, when it did not run
	text    plan.Key                                                       // of its words
	findKey func(ctx context.Context) error                                // sets key
	place   func(ctx context.Context, root string) (*source.Placed, error) // as apply, where the layer is enough; nil, or gives nil: it is not
}

// obtain gives the result that is remembered, or runs the step. Where another build runs it, this one waits for that, and
// runs it itself if the other fails or dies. Without the cache it neither waits nor takes.
func (st *step) obtain(ctx context.Context) (*Result, error) {
	if st.node.NoCache {
		return st.make(ctx)
	}
	// Nobody has run it yet on what this build has just made, or else it is found below.
	if st.below == nil || st.below.Cached {
		if r, err := st.findCached(ctx); err != nil || r != nil {
			return r, err
		}
	}
	if _, err := st.trees(ctx); err != nil { // before the lock: see the package
		return nil, err
	}
	release, err := st.Store.Lock(ctx, "step "+st.below.id()+" "+st.lock)
	if err != nil {
		return nil, err
	}
	r, err := st.findOrMake(ctx)
	return r, errors.Join(err, release())
}

// trees makes the trees that the step needs, where there are only layers of them, and gives the snapshot of the one below.
func (st *step) trees(ctx context.Context) (below string, err error) {
	for _, r := range st.reads {
		if r.source.Kind != plan.FromNode {
			continue
		}
		if _, err := r.result.Tree(ctx); err != nil {
			return "", err
		}
	}
	return st.below.Tree(ctx)
}

// findOrMake looks again: whoever had the lock before may have made it.
func (st *step) findOrMake(ctx context.Context) (*Result, error) {
	if st.key == "" {
		seen, err := st.Cache.Seen(ctx, st.text)
		if err != nil {
			return nil, err
		}
		if seen {
			err = st.findKey(ctx)
		}
		if err != nil {
			return nil, err
		}
	}
	if r, err := st.findCached(ctx); err != nil || r != nil {
		return r, err
	}
	return st.make(ctx)
}

// findCached is find in place of running the step, and tells so.
func (st *step) findCached(ctx context.Context) (*Result, error) {
	r, err := st.find(ctx)
	if err != nil || r == nil {
		return nil, err
	}
	for _, s := range st.node.Steps {
		st.report(s, event.Event{State: event.Cached, Seconds: r.Seconds})
	}
	return r, nil
}

// find gives the result that is remembered; nil: there is none.
func (st *step) find(ctx context.Context) (*Result, error) {
	if st.key == "" {
		return nil, nil
	}
	return st.lookup(ctx, st.node, st.below, st.key)
}

// make runs the step in a workspace on the tree below, freezes the workspace and remembers it. A step that fails or is
// canceled leaves nothing.
func (st *step) make(ctx context.Context) (_ *Result, err error) {
	below, err := st.trees(ctx)
	if err != nil {
		return nil, err
	}
	if err := st.Slots.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer st.Slots.Release(1)
	started := time.Now()
	st.report(st.node.Steps[0], event.Event{State: event.Started})
	defer func() { st.ended(ctx, err, time.Since(started)-st.waited) }()

	ws, err := st.Store.Prepare(ctx, below)
	if err != nil {
		return nil, err
	}
	defer func() { _ = ws.Discard() }() // after Commit there is nothing to discard; after an error that one counts
	root, err := ws.Mount(ctx)
	if err != nil {
		return nil, err
	}
	r, whole, err := st.onlyLayer(ctx, ws, root, started)
	if err != nil || r != nil {
		return r, err
	}
	if !whole {
		if err := st.apply(ctx, root); err != nil {
			return nil, err
		}
	}
	return st.freeze(ctx, ws, time.Since(started))
}

// freeze ends the workspace of a step that is done, and remembers what it made, in one transaction.
func (st *step) freeze(ctx context.Context, ws *snapshot.Workspace, took time.Duration) (*Result, error) {
	if st.key == "" {
		if err := st.findKey(ctx); err != nil {
			return nil, err
		}
	}
	made := cache.Result{ID: snapshot.NewName(), Created: now(), Seconds: took.Seconds()}
	records, err := st.records(made)
	if err != nil {
		return nil, err
	}
	if err := ws.Commit(ctx, made.ID, records...); err != nil {
		return nil, err
	}
	return st.newResult(st.node, st.below, st.key, made, false), nil
}

// records is what the result is found by later.
func (st *step) records(made cache.Result) ([]snapshot.Change, error) {
	record, err := cache.Record(st.key, st.below.id(), made)
	if err != nil {
		return nil, err
	}
	records := []snapshot.Change{record}
	if st.text != "" {
		records = append(records, cache.SeenRecord(st.text, record))
	}
	return records, nil
}

// onlyLayer makes a COPY without a tree. It gives nil where that cannot be, or where nothing changed: then nothing was left
// out of the workspace, which is whole.
func (st *step) onlyLayer(ctx context.Context, ws *snapshot.Workspace, root string, started time.Time) (_ *Result, whole bool, err error) {
	if st.place == nil {
		return nil, false, nil
	}
	placed, err := st.place(ctx, root)
	if err != nil || placed == nil {
		return nil, false, err
	}
	below, err := st.below.Tree(ctx)
	if err != nil {
		return nil, false, err
	}
	made := &layerOnly{step: st, started: started, result: cache.Result{ID: snapshot.NewName(), Below: below}}
	empty, err := st.Build.Pack(ctx, st.node, Placed{
		ID: made.result.ID, Dirs: ws.Dirs(), Changes: placed.Changes, Notes: placed.Warnings(), Keep: made.keep,
	})
	switch {
	case err != nil || empty:
		return nil, empty, err
	case made.other != nil:
		return made.other, false, ws.Discard()
	}
	return st.newResult(st.node, st.below, st.key, made.result, false), false, ws.Discard()
}

// layerOnly is the result of a COPY that gets no tree.
type layerOnly struct {
	*step
	started time.Time
	result  cache.Result
	other   *Result // that another build has made meanwhile, by other words
}

// keep completes the result once its layer is packed, and gives its records; none where there is another.
func (l *layerOnly) keep(ctx context.Context, packed Layer) ([]snapshot.Change, error) {
	if err := l.findKey(ctx); err != nil {
		return nil, err
	}
	if !l.node.NoCache {
		var err error
		if l.other, err = l.find(ctx); err != nil || l.other != nil {
			return nil, err
		}
	}
	l.waited = packed.Waited
	l.result.Created, l.result.Seconds = now(), (time.Since(l.started) - l.waited).Seconds()
	l.result.Encoding, l.result.Blob, l.result.Layer = packed.Encoding, packed.Blob, packed.Record
	return l.records(l.result)
}

// now is when a step is done, as an image's history says it.
func now() time.Time { return time.Now().UTC().Truncate(time.Second) }

// run executes a RUN, and sends its output as events.
func (st *step) run(ctx context.Context, r *plan.Run, root string) error {
	id := st.node.Steps[0].ID
	out, errs := &lines{to: st.Events, id: id, stream: 1}, &lines{to: st.Events, id: id, stream: 2}
	defer out.flush()
	defer errs.flush()
	return op.Run(ctx, r, root, op.Container{Runtime: st.Runtime, Scratch: st.Scratch, Stdout: out, Stderr: errs})
}

// ended tells how a step came out that ran. Others of the same node did not run, and have what it made.
func (st *step) ended(ctx context.Context, err error, took time.Duration) {
	ev := event.Event{State: event.Outcome(ctx, err), Seconds: took.Seconds()}
	if ev.State == event.Failed {
		ev.Text = err.Error()
	}
	st.report(st.node.Steps[0], ev)
	if err != nil {
		return
	}
	for _, s := range st.node.Steps[1:] {
		st.report(s, event.Event{State: event.Cached, Seconds: took.Seconds()})
	}
}

func (st *step) report(s plan.Step, ev event.Event) {
	ev.Type, ev.ID, ev.Stage, ev.Line, ev.Name, ev.Platform = event.Step, s.ID, s.Stage, s.Line, s.Name, s.Platform
	st.Events.Emit(ev)
}

// maxLogLine is where a line of output without an end is cut into two events, in bytes.
const maxLogLine = 64 << 10

// lines sends what is written to it as log events, a line each.
type lines struct {
	to     *event.Emitter
	id     string
	stream int
	rest   []byte
}

func (l *lines) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		i := bytes.IndexByte(l.rest, '\n')
		if i < 0 && len(l.rest) < maxLogLine {
			return len(p), nil
		}
		if i < 0 {
			l.send(l.rest)
			l.rest = l.rest[:0]
			return len(p), nil
		}
		l.send(bytes.TrimSuffix(l.rest[:i], []byte{'\r'}))
		l.rest = l.rest[i+1:]
	}
}

// flush sends a last line that has no end.
func (l *lines) flush() {
	if len(l.rest) > 0 {
		l.send(l.rest)
		l.rest = nil
	}
}

func (l *lines) send(line []byte) {
	l.to.Emit(event.Event{Type: event.Log, ID: l.id, Stream: l.stream, Text: string(line)})
}
