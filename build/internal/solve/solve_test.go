package solve

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/semaphore"

	"github.com/lbuild/lbuild/build/event"
	"github.com/lbuild/lbuild/build/internal/cache"
	"github.com/lbuild/lbuild/build/internal/plan"
	"github.com/lbuild/lbuild/build/internal/source"
	"github.com/lbuild/lbuild/build/internal/storetest"
	"github.com/lbuild/lbuild/snapshot"
)

// lostBuild is a Build in which all layers of remembered results are gone, which shows when they are unpacked.
type lostBuild struct {
	*testing.T
	store   *snapshot.Store
	context string
	opened  atomic.Int32 // times that the context was
}

var _ Build = (*lostBuild)(nil)

func (b *lostBuild) Unpack(context.Context, plan.ImageRef) (string, error) {
	return "", errors.New("no image")
}

func (b *lostBuild) Prove(context.Context, plan.ImageRef) error { return errors.New("no image") }

func (b *lostBuild) OpenDir(context.Context, plan.Source) (*source.Tree, error) {
	b.opened.Add(1)
	return b.open(b.context)
}

func (b *lostBuild) OpenTree(ctx context.Context, name string) (*source.Tree, error) {
	view, err := b.store.View(ctx, name)
	if err != nil {
		return nil, err
	}
	b.Cleanup(func() { _ = view.Close() })
	return b.open(view.Dir())
}

func (b *lostBuild) open(dir string) (*source.Tree, error) {
	tree, err := source.Open(dir, source.Options{})
	if err == nil {
		b.Cleanup(func() { _ = tree.Close() })
	}
	return tree, err
}

func (b *lostBuild) Made(context.Context, *plan.Node, *Result)              {}
func (b *lostBuild) LayerIsEnough(*plan.Node) bool                          { return false }
func (b *lostBuild) Pack(context.Context, *plan.Node, Placed) (bool, error) { return true, nil }
func (b *lostBuild) Fail(_ *plan.Node, err error) error                     { return err }
func (b *lostBuild) Apply(context.Context, *Result, string) error {
	return fmt.Errorf("no bytes: %w", errdefs.ErrDataLoss)
}

// files is a COPY of a file of the context.
func (b *lostBuild) files(name string) *plan.Copy {
	b.Helper()
	if err := os.WriteFile(filepath.Join(b.context, name), []byte(name), 0o644); err != nil {
		b.Fatal(err)
	}
	return &plan.Copy{Verb: "COPY", Sources: []string{name}, Dest: "/" + name}
}

// newSolver is a solver on a store of its own, with the context of a lease.
func newSolver(t *testing.T) (context.Context, *Solver, *lostBuild) {
	t.Helper()
	store := storetest.Open(t)
	b := &lostBuild{T: t, store: store, context: t.TempDir()}
	return storetest.Lease(t, store), &Solver{
		Store: store, Cache: cache.New(store), Slots: semaphore.NewWeighted(1), Events: &event.Emitter{}, Scratch: t.TempDir(), Build: b,
	}, b
}

// TestTheContextIsReadOnceForAllCandidates has a step that ran six times, with a COPY on each of its results: to choose
// among them the files are looked at once, and once more by the COPY itself.
func TestTheContextIsReadOnceForAllCandidates(t *testing.T) {
	ctx, solver, b := newSolver(t)
	below := &plan.Node{Op: &plan.Workdir{Dir: "/w"}, Steps: []plan.Step{{ID: "below"}}}
	above := &plan.Node{
		ID: 1, Op: b.files("one"), Below: below, Steps: []plan.Step{{ID: "above"}}, Reads: []plan.Source{{Kind: plan.FromContext}},
	}
	g := &plan.Graph{Nodes: []*plan.Node{below, above}}
	below.NoCache, above.NoCache = true, true
	for range 6 {
		if _, err := solver.Solve(ctx, g); err != nil {
			t.Fatal(err)
		}
	}
	below.NoCache, above.NoCache = false, false
	b.opened.Store(0)
	if _, err := solver.Solve(ctx, g); err != nil {
		t.Fatal(err)
	}
	if got := b.opened.Load(); got > 2 {
		t.Errorf("the context is opened %d times, want 2 at most", got)
	}
}

// TestWhatIsLostIsMadeOnce counts on two results that have only a layer, one for each of two nodes, and finds when it
// unpacks them that both are gone: each node runs, what stands on them is solved on the new results, and the rest stays.
func TestWhatIsLostIsMadeOnce(t *testing.T) {
	ctx, solver, b := newSolver(t)
	store := solver.Store
	var events []string
	solver.Events.Sink = func(ev event.Event) { events = append(events, ev.ID+" "+string(ev.State)) }
	g := &plan.Graph{}
	add := func(name string, op plan.Op, below *plan.Node, reads ...plan.Source) *plan.Node {
		n := &plan.Node{ID: len(g.Nodes), Op: op, Below: below, Reads: reads, Steps: []plan.Step{{ID: name}}}
		g.Nodes = append(g.Nodes, n)
		return n
	}
	fromContext := plan.Source{Kind: plan.FromContext}
	first := add("first", b.files("one"), nil, fromContext)
	second := add("second", b.files("two"), nil, fromContext)
	add("above", &plan.Workdir{Dir: "/above"}, first)
	add("reads", &plan.Copy{Verb: "COPY", Sources: []string{"/two"}, Dest: "/copied"}, nil, plan.Source{Kind: plan.FromNode, Node: second})
	add("beside", &plan.Workdir{Dir: "/beside"}, nil)

	before := rememberLayers(ctx, t, solver, g, first, second)
	results, err := solver.Solve(ctx, g)
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range []*plan.Node{first, second} {
		if r := results[n.ID]; r.Cached || !r.HasTree() || r.ID == before[i] {
			t.Errorf("%s is %+v, want one that ran", n.Steps[0].ID, r.Result)
		}
	}
	for _, r := range results {
		if want := below(results, r.Node); r.Below != want {
			t.Errorf("%s stands on %v, want %v", r.Node.Steps[0].ID, r.Below.id(), want.id())
		}
		if _, err := store.Dirs(ctx, r.ID); err != nil {
			t.Errorf("the tree of %s: %v", r.Node.Steps[0].ID, err)
		}
	}
	got := map[string]int{}
	for _, e := range events {
		if strings.HasSuffix(e, " done") {
			got[e]++
		}
	}
	want := map[string]int{"first done": 1, "second done": 1, "above done": 1, "reads done": 1, "beside done": 1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events %v: %s", events, diff)
	}
}

func below(results []*Result, n *plan.Node) *Result {
	if n.Below == nil {
		return nil
	}
	return results[n.Below.ID]
}

// rememberLayers puts records of results for the nodes that have only a layer.
func rememberLayers(ctx context.Context, t *testing.T, s *Solver, g *plan.Graph, nodes ...*plan.Node) (ids []string) {
	t.Helper()
	blob, err := s.Store.NewBlob(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := blob.Write([]byte("a layer")); err != nil {
		t.Fatal(err)
	}
	d := digest.FromString("a layer")
	if err := errors.Join(blob.Commit(ctx, 7, d, nil), blob.Close()); err != nil {
		t.Fatal(err)
	}
	layer := snapshot.Record{Key: "a layer", Blobs: []digest.Digest{d}}
	if err := s.Store.PutRecord(ctx, layer); err != nil {
		t.Fatal(err)
	}
	run := &solving{Solver: s, graph: g}
	for range g.Nodes {
		run.nodes = append(run.nodes, &running{})
	}
	for _, n := range nodes {
		key, err := run.knownKey(ctx, n)
		if err != nil {
			t.Fatal(err)
		}
		id := snapshot.NewName()
		record, err := cache.Record(key, "", cache.Result{ID: id, Encoding: "plain", Blob: d, Layer: layer.Key})
		if err == nil {
			err = s.Store.PutRecord(ctx, record)
		}
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids
}

// TestTheFilesOfAnImageWithoutLayersAreKnown looks at a COPY from an image whose tree is the empty one, which nobody unpacks.
func TestTheFilesOfAnImageWithoutLayersAreKnown(t *testing.T) {
	ctx, solver, _ := newSolver(t)
	base := &plan.Node{Op: &plan.Base{}}
	reads := &plan.Node{
		ID: 1, Op: &plan.Copy{Verb: "COPY", Sources: []string{"/"}, Dest: "/"}, Reads: []plan.Source{{Kind: plan.FromNode, Node: base}},
		Steps: []plan.Step{{ID: "reads"}},
	}
	forecast, err := solver.Forecast(ctx, &plan.Graph{Nodes: []*plan.Node{base, reads}})
	if err != nil {
		t.Fatal(err)
	}
	if got := forecast[1].State; got != Runs {
		t.Errorf("the COPY is %q, want %q", got, Runs)
	}
}
