package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"
	"golang.org/x/sys/unix"

	"github.com/lbuild/lbuild/build/buildfile"
	"github.com/lbuild/lbuild/build/event"
	"github.com/lbuild/lbuild/build/internal/blocks"
	"github.com/lbuild/lbuild/build/internal/cache"
	"github.com/lbuild/lbuild/build/internal/plan"
	"github.com/lbuild/lbuild/build/internal/remote"
	"github.com/lbuild/lbuild/build/internal/source"
	"github.com/lbuild/lbuild/snapshot"
)

// session is one build: what it was asked for, and what its stages share.
type session struct {
	*Builder
	number   int64 // of the build, in the order in which the Builder began them
	req      Request
	tags     []reference.Named
	platform ocispec.Platform // of the target
	host     ocispec.Platform
	lease    *snapshot.Lease
	events   event.Emitter
	slots    *semaphore.Weighted // one for each step that runs

	dir    string // context directory; the unpacked one when the context came as a tar
	ignore string // path of the Buildfile, beside which its ignore file may lie; "" when it has none
	file   *buildfile.File
	plan   *plan.Plan

	// Each of these is made once in a build, by whichever stage needs it first, and kept until the build ends.
	trees  once[string, *source.Tree]  // by path, or snapshot://NAME
	images once[string, *baseImage]    // described, by reference and platform
	trunks once[digest.Digest, string] // snapshots of unpacked images, by manifest
	flight once[cache.Key, cache.Step] // steps that run, by the key that they are recorded under
	packs  once[string, cache.Layer]   // packed layers, by snapshot and variant
	warned sync.Map                    // names of the snapshots that were walked for a layer

	repacks once[string, Layer] // layers of a base that were packed anew, by digest and compression
	pushes  []*push             // to registries, in the order of the outputs

	packed    *blocks.Index     // packed blocks of all layers of the store
	argValues map[string]string // build arguments
	stages    []*stage          // as in the plan
	group     *errgroup.Group   // of the stages, the packing and the pushing

	mu      sync.Mutex
	closers []func() error // run in reverse when the build ends
}

// open checks the request, takes a lease and finds the Buildfile's text. The returned context carries the lease.
func (b *Builder) open(ctx context.Context, req Request) (*session, context.Context, error) {
	s := &session{
		Builder: b, number: b.builds.Add(1), req: req, host: platforms.DefaultSpec(),
		slots: semaphore.NewWeighted(int64(b.opts.Jobs)),
	}
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
	s.packed = packedBlocks(b.store, lease.Dir())
	ctx = lease.Context(ctx)
	if err := s.openContext(ctx); err != nil {
		return nil, nil, errors.Join(err, s.close())
	}
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
	s.platform = s.host
	if s.req.Platform != nil {
		s.platform = platforms.Normalize(*s.req.Platform)
	}
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

// openContext makes the context a directory and reads the Buildfile's text, unless the request holds it.
func (s *session) openContext(ctx context.Context) error {
	s.dir = s.req.Context
	if s.dir == "" {
		s.dir = "."
	}
	if s.req.ContextTar != nil {
		s.dir = filepath.Join(s.lease.Dir(), "context")
		if err := os.Mkdir(s.dir, 0o700); err != nil {
			return fmt.Errorf("make a place for the context: %w", err)
		}
		if err := source.Extract(ctx, s.req.ContextTar, s.dir); err != nil {
			return fmt.Errorf("unpack the context: %w", err)
		}
	}
	if info, err := os.Stat(s.dir); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("context %s does not exist", s.dir)
	} else if err != nil {
		return fmt.Errorf("context: %w", err)
	} else if !info.IsDir() {
		return fmt.Errorf("context %s is not a directory", s.dir)
	}
	if s.req.BuildfileText != nil {
		return nil
	}
	return s.readBuildfile()
}

// defaultNames are tried in this order where no Buildfile is named.
var defaultNames = []string{"Buildfile", "Dockerfile", "Containerfile"}

// readBuildfile reads the Buildfile's text. The user's path may lead anywhere; in a context, and in a tar above all, a
// name may not.
func (s *session) readBuildfile() error {
	if name := s.req.Buildfile; name != "" && s.req.ContextTar == nil {
		text, err := os.ReadFile(name)
		if err != nil {
			return fmt.Errorf("read the Buildfile: %w", err)
		}
		s.req.BuildfileText, s.ignore = append([]byte{}, text...), name
		return nil
	}
	names := defaultNames
	if s.req.Buildfile != "" {
		names = []string{s.req.Buildfile}
	}
	for _, name := range names {
		text, err := s.readContext(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read %s in the context: %w", name, err)
		}
		s.req.Buildfile, s.req.BuildfileText = name, append([]byte{}, text...)
		s.ignore = filepath.Join(s.dir, filepath.Clean("/"+name))
		return nil
	}
	return fmt.Errorf("the context has no %s", strings.Join(names, " or "))
}

// maxBuildfile bounds a Buildfile in a context.
const maxBuildfile = 16 << 20 // bytes

// readContext reads a regular file of the context, also through links that stay in it.
func (s *session) readContext(name string) ([]byte, error) {
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	name = strings.TrimPrefix(filepath.Clean("/"+name), "/")
	info, err := root.Stat(name) // first: to open a device is to use it
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxBuildfile {
		return nil, fmt.Errorf("it is no regular file of at most %d bytes", maxBuildfile)
	}
	f, err := root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxBuildfile))
}

// parse reads the Buildfile and plans its stages.
func (s *session) parse() error {
	file, err := buildfile.Parse(s.req.Buildfile, s.req.BuildfileText)
	if err != nil {
		return err
	}
	s.file = file
	for _, w := range file.Warnings {
		s.warn(w.Line, w.Text)
	}
	s.argValues = s.args()
	s.plan, err = plan.New(file, plan.Options{
		Target: s.req.Target, Args: s.argValues, BuildPlatform: s.host, TargetPlatform: s.platform, Contexts: s.req.Contexts,
	})
	if err != nil {
		return err
	}
	return nil
}

// args are the build arguments. As with docker, SOURCE_DATE_EPOCH is one of them when the request has an epoch.
func (s *session) args() map[string]string {
	args := make(map[string]string, len(s.req.Args)+1)
	if s.req.Epoch != nil {
		args["SOURCE_DATE_EPOCH"] = fmt.Sprint(s.req.Epoch.Unix())
	}
	for k, v := range s.req.Args {
		args[k] = v
	}
	return args
}

func (s *session) warn(line int, text string) {
	s.events.Emit(Event{Type: EventWarning, File: s.file.Name, Line: line, Text: text})
}

// contextTree is the build context, without what its ignore file leaves out.
func (s *session) contextTree() (*source.Tree, error) {
	return s.tree(s.dir, s.ignore)
}

// tree opens a directory that the user named, once. Everything in it counts as owned by root. Digests of its files
// are kept in the store, so that the next build reads only what changed.
func (s *session) tree(dir, buildfile string) (*source.Tree, error) {
	return s.trees.do(dir+"\x00"+buildfile, func() (*source.Tree, error) { // its ignore file counts in one of the two only
		patterns, err := source.ReadIgnore(dir, buildfile)
		if err != nil {
			return nil, err
		}
		digests, err := s.digests(dir)
		if err != nil {
			return nil, err
		}
		t, err := source.Open(dir, source.Options{Ignore: patterns, RootOwned: true, Digests: digests})
		if err != nil {
			return nil, err
		}
		s.onClose(t.Close)
		return t, nil
	})
}

// digests loads what is remembered of the files of a directory, and saves it when the build ends. A directory that ends
// with the build has none.
func (s *session) digests(dir string) (*source.DigestCache, error) {
	abs, err := filepath.Abs(dir)
	if err != nil || strings.HasPrefix(abs, s.lease.Dir()+"/") {
		return nil, err
	}
	file := filepath.Join(cache.FileDigests(s.store.Root()), string(cache.NewKey(abs)))
	digests, err := source.LoadDigests(file)
	if err != nil {
		return nil, err
	}
	s.onClose(func() error {
		if err := digests.Save(file, s.lease.Dir()); err != nil {
			s.warn(0, fmt.Sprintf("the next build reads all of %s again: %v", dir, err))
		}
		return nil
	})
	return digests, nil
}

// packedBlocks is the index of where the layers of a store have which packed blocks.
func packedBlocks(store *snapshot.Store, scratch string) *blocks.Index {
	return blocks.New(blocks.Dir(store.Root()), scratch, store.Content())
}
