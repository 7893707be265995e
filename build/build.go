// Package build turns a Buildfile into an image.
//
// A Builder works on one store. Build parses, plans, runs the steps that no earlier build has run, packs their layers
// while later steps run, and writes the image to its outputs. It prints nothing: what happens goes to Request.Events.
// A Builder may be used from several goroutines, and several processes may use the same store.
package build

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/sync/semaphore"

	"github.com/lbuild/lbuild/build/internal/cache"
	"github.com/lbuild/lbuild/build/internal/pack"
	"github.com/lbuild/lbuild/build/internal/remote"
	"github.com/lbuild/lbuild/build/internal/run"
	"github.com/lbuild/lbuild/snapshot"
)

// Options says how a Builder works. The zero value is right for most.
type Options struct {
	Runtime            string   // path of runc; "": beside the executable, else runc or crun on PATH
	Jobs               int      // steps of all builds that run at once; 0: the larger of 4 and twice the number of CPUs
	Memory             int64    // bytes that all layers that are packed at once take together; 0: DefaultMemory
	InsecureRegistries []string // hosts that may be spoken to in plain http
	Version            string   // for the User-Agent
}

// DefaultMemory is what Options.Memory is where it is 0, in bytes.
const DefaultMemory = 192 << 20

// Builder builds images in one store. It may build several at once, which then share its steps and its memory.
type Builder struct {
	store  *snapshot.Store
	remote *remote.Client
	cache  *cache.Cache
	packer *pack.Packer
	slots  *semaphore.Weighted // one for each step that runs
	opts   Options
}

// New makes a Builder on a store from OpenStore, which the caller closes after the Builder's last call. It looks at
// nothing but opts: a missing runtime is an error of the first RUN.
func New(store *snapshot.Store, opts Options) (*Builder, error) {
	switch {
	case store == nil:
		return nil, errors.New("a builder needs a store")
	case opts.Jobs < 0:
		return nil, fmt.Errorf("%d jobs are less than one", opts.Jobs)
	case opts.Memory < 0:
		return nil, fmt.Errorf("a memory budget of %d bytes is less than nothing", opts.Memory)
	}
	if opts.Jobs == 0 {
		opts.Jobs = max(4, 2*runtime.NumCPU()) // steps often wait for the network
	}
	if opts.Memory == 0 {
		opts.Memory = DefaultMemory
	}
	client, err := remote.New(remote.Options{Insecure: opts.InsecureRegistries, Version: opts.Version})
	if err != nil {
		return nil, err
	}
	return &Builder{
		store: store, remote: client, cache: cache.New(store), opts: opts,
		packer: pack.New(store, opts.Memory, runtime.NumCPU()), slots: semaphore.NewWeighted(int64(opts.Jobs)),
	}, nil
}

// PackMemory is the most that layers that were packed at once have been allowed to take so far, in bytes: never more than
// Options.Memory.
func (b *Builder) PackMemory() int64 { return b.packer.PeakMemory() }

// OpenStore opens the store under root, and ends what builds that died have left there: containers, mounts and
// half-written files. warn is told what of them has to stay for the next time, and later what a build threw away and cannot
// remove, one call at a time; nil drops it. The caller closes the store.
func OpenStore(ctx context.Context, root string, warn func(error)) (*snapshot.Store, error) {
	return snapshot.Open(ctx, snapshot.Options{Root: root, Reap: run.Reap, Warn: warn})
}

// Build makes what req asks for. Names in the store come last, each in a transaction of its own: on an error before them the
// image has none, on one among them it keeps those that it has. On error files are whole or untouched, only a directory of
// files (OutputLocal) may be half filled; outputs that were written before the one that failed stay, and finished steps
// stay known, so that the next build goes on from there. Errors in a Buildfile are *buildfile.Error.
func (b *Builder) Build(ctx context.Context, req Request) (_ *Result, err error) {
	s, ctx, err := b.open(ctx, req)
	if err != nil {
		return nil, err
	}
	defer func() { err = s.end(ctx, err) }()

	if err := s.parse(); err != nil {
		return nil, err
	}
	if err := s.compile(ctx); err != nil {
		return nil, err
	}
	if err := s.openPushes(ctx); err != nil {
		return nil, err
	}
	results, err := s.solve(ctx)
	if err != nil {
		return nil, err
	}
	images, err := s.assemble(ctx, results)
	if err != nil {
		return nil, err
	}
	return s.export(ctx, results, images)
}
