package build

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/lbuild/lbuild/build/internal/cache"
	"github.com/lbuild/lbuild/build/internal/source"
)

// comment is what lbuild writes into the history entries that it makes.
const comment = "lbuild"

// change is an instruction that changes files.
type change struct {
	cmd       instructions.Command
	name      string // as shown to the user
	createdBy string
	key       cache.Key                                    // of all that it can see, for the keys of later steps
	apply     func(ctx context.Context, root string) error // on a mounted workspace

	// For COPY and ADD only.
	shape cache.Key                                                      // of what the instruction says, whatever the files hold
	place func(ctx context.Context, root string) (*source.Placed, error) // as apply, where the layer is enough; nil: it is not
	seal  func(ctx context.Context) (cache.Key, error)                   // gives the key after apply or place; nil: it is known
}

// change gives the stage the tree that c makes: the recorded one where its key is known, else a new one.
func (st *stage) change(ctx context.Context, c change) error {
	step, cached, err := st.obtain(ctx, &c)
	if err != nil {
		return err
	}
	if cached {
		st.report(c, Event{State: StateCached, Seconds: step.Seconds})
	}
	st.key, st.snapshot = c.key, step.Snapshot
	st.created = &step.Created
	st.image.History = append(st.image.History, ocispec.History{CreatedBy: c.createdBy, Comment: comment, Created: st.created})
	made := madeStep{Step: step, id: st.id(), line: line(c.cmd), history: len(st.image.History) - 1, cached: cached}
	st.made = append(st.made, made)
	if st.packed {
		st.s.packSoon(ctx, made)
	}
	return nil
}

// obtain gives the step from its record, or makes it. Cached says that this stage did not run it.
func (st *stage) obtain(ctx context.Context, c *change) (_ cache.Step, cached bool, _ error) {
	if c.seal != nil {
		step, err := st.make(ctx, c)
		return step, false, err
	}
	recorded := st.recorded(c)
	step, ok, err := st.find(ctx, recorded)
	if err == nil && ok && step.Bare != nil {
		step, ok, err = st.dress(ctx, c, step)
	}
	if err != nil || ok {
		return step, ok, err
	}
	cached = true // unless this stage is the one that runs it
	step, err = st.s.flight.do(recorded, func() (cache.Step, error) { cached = false; return st.make(ctx, c) })
	return step, cached, err
}

// recorded is the key under which the step is recorded. One step may have run twice, with different results. What was
// made on one of them does not fit the other: its layer says what changed on that one.
func (st *stage) recorded(c *change) cache.Key { return cache.NewKey(string(c.key), st.snapshot) }

// find looks the step up, unless the user asked to run it again.
func (st *stage) find(ctx context.Context, recorded cache.Key) (cache.Step, bool, error) {
	if st.s.noCache(st.Name) {
		return cache.Step{}, false, nil
	}
	return st.s.cache.Step(ctx, recorded)
}

// make runs the step in a workspace on the last snapshot, freezes the workspace and records it. A step that fails or
// is canceled leaves nothing.
func (st *stage) make(ctx context.Context, c *change) (_ cache.Step, err error) {
	if err := st.s.slots.Acquire(ctx, 1); err != nil {
		return cache.Step{}, err
	}
	defer st.s.slots.Release(1)
	started := time.Now()
	st.report(*c, Event{State: StateStarted})
	defer func() { st.report(*c, outcome(ctx, err, time.Since(started))) }()

	ws, err := st.s.store.Prepare(ctx, st.snapshot)
	if err != nil {
		return cache.Step{}, err
	}
	defer func() { _ = ws.Discard() }() // after Commit there is nothing to discard; after an error that one counts
	root, err := ws.Mount(ctx)
	if err != nil {
		return cache.Step{}, err
	}
	bare, err := st.put(ctx, c, ws, root, &started)
	if err != nil {
		return cache.Step{}, err
	}
	if bare != nil {
		return bare.step, ws.Discard()
	}
	if err := c.know(ctx); err != nil {
		return cache.Step{}, err
	}
	return st.s.cache.Freeze(ctx, ws, st.recorded(c), c.shape, cache.Step{Created: now(), Seconds: time.Since(started).Seconds()})
}

// know finds the key of a change whose files have now been read.
func (c *change) know(ctx context.Context) (err error) {
	if c.seal != nil {
		c.key, err = c.seal(ctx)
	}
	return err
}

// now is when a step is done, as an image's history says it.
func now() time.Time { return time.Now().UTC().Truncate(time.Second) }

// outcome is the last event of a step that ran.
func outcome(ctx context.Context, err error, took time.Duration) Event {
	ev := Event{State: StateDone, Seconds: took.Seconds()}
	switch {
	case err == nil:
	case ctx.Err() != nil:
		ev.State = StateCanceled
	default:
		ev.State, ev.Text = StateFailed, err.Error()
	}
	return ev
}

func (st *stage) report(c change, ev Event) {
	ev.Type, ev.ID, ev.Stage, ev.Line, ev.Name = EventStep, st.id(), st.Name, line(c.cmd), c.name
	st.s.events.Emit(ev)
}

// line is where an instruction stands in the Buildfile.
func line(cmd instructions.Command) int {
	if cmd == nil {
		return 0
	}
	if loc := cmd.Location(); len(loc) > 0 {
		return loc[0].Start.Line
	}
	return 0
}

func (s *session) noCache(stage string) bool {
	if s.req.NoCache {
		return true
	}
	return slices.ContainsFunc(s.req.NoCacheStages, func(name string) bool { return strings.EqualFold(name, stage) })
}

// unknownStages are names in NoCacheStages that no stage of the file has.
func (s *session) unknownStages() []string {
	return slices.DeleteFunc(slices.Clone(s.req.NoCacheStages), func(name string) bool {
		if i, err := strconv.Atoi(name); err == nil && i >= 0 && i < len(s.file.Stages) {
			return true
		}
		return slices.ContainsFunc(s.file.Stages, func(st instructions.Stage) bool { return strings.EqualFold(name, st.Name) })
	})
}

// title is an instruction as the Buildfile has it, on one line.
func title(cmd instructions.Command) string {
	if s, ok := cmd.(fmt.Stringer); ok {
		return s.String()
	}
	return cmd.Name()
}
