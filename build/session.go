package build

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/lbuild/lbuild/build/buildfile"
	"github.com/lbuild/lbuild/build/event"
	"github.com/lbuild/lbuild/build/internal/base"
	"github.com/lbuild/lbuild/build/internal/pack"
	"github.com/lbuild/lbuild/build/internal/plan"
	"github.com/lbuild/lbuild/build/internal/remote"
	"github.com/lbuild/lbuild/snapshot"
)

// session is one build: what it was asked for, and what its parts hold while it lasts.
type session struct {
	*Builder
	req    Request
	tags   []reference.Named
	lease  *snapshot.Lease
	events event.Emitter

	context *contexts // what COPY reads that is no result
	bases   *base.Finder
	file    *buildfile.File
	graph   *plan.Graph
	needs   map[plan.ImageRef]plan.Need // images that the file names
	packing *pack.Build
	pushes  []*push         // to registries, in the order of the outputs
	group   *errgroup.Group // of solving, packing and pushing

	mu      sync.Mutex
	closers []func() error // run in reverse when the build ends
}

// open checks the request, takes a lease and finds the Buildfile's text. The returned context carries the lease.
func (b *Builder) open(ctx context.Context, req Request) (*session, context.Context, error) {
	s := &session{Builder: b, req: req, needs: map[plan.ImageRef]plan.Need{}}
	s.events.Sink = req.Events
	if err := s.check(); err != nil {
		return nil, nil, err
	}
	lease, err := b.store.Lease(ctx)
	if err != nil {
		return nil, nil, err
	}
	s.lease = lease
	s.onClose(lease.Release)
	ctx = lease.Context(ctx)
	s.bases = &base.Finder{Store: b.store, Remote: b.remote, Events: &s.events, Pull: req.Pull}
	s.context = &contexts{store: b.store, lease: lease, req: &s.req, onClose: s.onClose, warn: s.warn}
	if err := s.context.open(ctx); err != nil {
		return nil, nil, errors.Join(err, s.close())
	}
	s.packing = b.packer.Begin(pack.Options{
		Whiteouts: req.Whiteouts, Epoch: req.Epoch, Verify: req.Verify, Scratch: lease.Dir(), Events: &s.events, Warn: s.warn,
	})
	return s, ctx, nil
}

// onClose has fn run when the build ends, before what was taken earlier is given back.
func (s *session) onClose(fn func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closers = append(s.closers, fn)
}

// end closes the session. What a failed build wrote and nothing names is removed at once.
func (s *session) end(ctx context.Context, err error) error {
	if err != nil {
		s.cancelPushes()
		s.bases.End(StateCanceled)
	} else {
		s.bases.End(StateDone)
	}
	if closed := s.close(); closed != nil || err != nil {
		return errors.Join(err, closed, s.store.Collect(context.WithoutCancel(ctx)))
	}
	return nil
}

// close gives back what the session holds, last taken first.
func (s *session) close() error {
	var errs []error
	for len(s.closers) > 0 {
		last := len(s.closers) - 1
		errs = append(errs, s.closers[last]())
		s.closers = s.closers[:last]
	}
	return errors.Join(errs...)
}

// check refuses what can be known to be wrong before anything is read or made.
func (s *session) check() error {
	switch s.req.Network {
	case "", "default", "host", "none":
	default:
		return fmt.Errorf("unknown network %q, want host or none", s.req.Network)
	}
	for _, tag := range s.req.Tags {
		named, err := remote.ParseReference(tag)
		if err != nil {
			return err
		}
		s.tags = append(s.tags, named)
	}
	if err := s.req.CheckMemory(s.opts.Memory); err != nil {
		return err
	}
	return s.checkOutputs()
}

// platforms are those that images are made for, each once.
func (r Request) platforms() []ocispec.Platform {
	var list []ocispec.Platform
	seen := map[string]bool{}
	for _, p := range r.Platforms {
		p = platforms.Normalize(p)
		if name := platforms.FormatAll(p); !seen[name] {
			seen[name] = true
			list = append(list, p)
		}
	}
	if len(list) == 0 {
		return []ocispec.Platform{platforms.DefaultSpec()}
	}
	return list
}

func (s *session) warn(line int, text string) {
	ev := Event{Type: EventWarning, Line: line, Text: text}
	if s.file != nil {
		ev.File = s.file.Name
	}
	s.events.Emit(ev)
}
