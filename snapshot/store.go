package snapshot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"golang.org/x/sync/semaphore"
	"golang.org/x/sys/unix"
)

// Names under which containerd's metadata keeps what is lbuild's.
const (
	namespace   = "lbuild"
	snapshotter = "overlayfs" // containerd's unpacker treats this name as overlay
)

// Options says where the store lies and how it works.
type Options struct {
	// Root is the directory of the store, created with mode 0700 if missing.
	Root string
	// Jobs is how many layers are unpacked at once; 0 means the number of CPUs.
	Jobs int
	// Reap is called with the lease directory of each dead process before its mounts are removed, to end what still
	// runs in them; nil means that there is nothing to end.
	Reap func(ctx context.Context, dir string) error
	// Warn is told what of a dead process could not be ended, and what was thrown away and could not be removed; nil
	// drops it. It is left for the next Open. One call at a time, while the store is in use.
	Warn func(err error)
}

// Store is an open root. It is safe for concurrent use, also by other processes that opened the same root.
type Store struct {
	opts      Options
	root      string
	rootFile  *os.File // for syncfs: reports every write error since Open, once
	userXattr bool

	db            *database
	meta          *metadata.DB
	snapshotterDB *snapshotterDatabase
	overlay       *overlaySnapshotter
	tree          *namedSnapshotter // snapshots by name
	files         content.Store
	blobs         *contentStore
	names         *imageNames
	leases        leases.Manager
	trash         trash

	unpacks  *semaphore.Weighted
	fetches  *semaphore.Weighted
	inflight *keyLocks

	syncing sync.Mutex
	syncErr error // what syncfs reported: guarded by syncing

	warning sync.Mutex // one call of Warn at a time

	mu   sync.Mutex
	live map[string]*Lease

	closing sync.Once
	closed  error
}

// Open opens the store at opts.Root, creating it if missing, and cleans up what dead processes left there, as far as
// that is possible. The error says in one line what is missing on this machine. The caller closes the store.
func Open(ctx context.Context, opts Options) (*Store, error) {
	root, err := prepareRoot(opts.Root)
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", opts.Root, err)
	}
	s, err := open(withoutLog(ctx), root, opts)
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", root, err)
	}
	if err := s.endDeadLeases(s.Context(ctx)); err != nil {
		return nil, errors.Join(fmt.Errorf("store %s: clean up after a dead process: %w", root, err), s.Close())
	}
	return s, nil
}

func open(ctx context.Context, root string, opts Options) (_ *Store, err error) {
	if opts.Jobs <= 0 {
		opts.Jobs = runtime.GOMAXPROCS(0)
	}
	s := &Store{
		opts:     opts,
		root:     root,
		trash:    trash(filepath.Join(root, "trash")),
		unpacks:  semaphore.NewWeighted(int64(opts.Jobs)),
		fetches:  semaphore.NewWeighted(int64(max(opts.Jobs, fetchesAtOnce))),
		inflight: newKeyLocks(),
		live:     map[string]*Lease{},
	}
	if s.rootFile, err = os.Open(root); err != nil {
		return nil, err
	}
	if err := s.embed(ctx); err != nil {
		return nil, errors.Join(err, s.rootFile.Close())
	}
	return s, nil
}

// embed puts containerd's parts together.
func (s *Store) embed(ctx context.Context) (err error) {
	withoutWarnings(func() { s.files, err = local.NewStore(s.path("content")) })
	if err != nil {
		return err
	}
	if err := s.openOverlay(ctx); err != nil {
		return err
	}
	s.db = &database{path: s.path("meta.db"), lock: s.path("db.lock")}
	s.meta = metadata.NewDB(s.db, s.files, map[string]snapshots.Snapshotter{snapshotter: s.overlay})
	if err := s.meta.Init(ctx); err != nil {
		return err
	}
	s.tree = &namedSnapshotter{Snapshotter: s.meta.Snapshotter(snapshotter), store: s}
	s.blobs = &contentStore{inner: s.meta.ContentStore(), store: s}
	s.names = &imageNames{Store: metadata.NewImageStore(s.meta), store: s}
	s.leases = metadata.NewLeaseManager(s.meta)
	return nil
}

// Close releases the leases that are still held and ends the use of the store. Later calls return what the first did.
func (s *Store) Close() error {
	s.closing.Do(func() {
		var errs []error
		for _, l := range s.liveLeases() {
			errs = append(errs, l.Release())
		}
		s.closed = errors.Join(append(errs, s.rootFile.Close())...)
	})
	return s.closed
}

// Root is the absolute path of the store's directory, without symlinks.
func (s *Store) Root() string { return s.root }

// Content is the store of blobs. Writing needs the context of a lease; a writer's commit returns when the blob is whole
// on disk. What is deleted here leaves the disk at the next collection.
func (s *Store) Content() content.Store { return s.blobs }

// Images is the store of image names. What an image name reaches is kept.
func (s *Store) Images() images.Store { return s.names }

// Context adds what containerd's interfaces need to read the store; it holds no lease.
func (s *Store) Context(ctx context.Context) context.Context { return withNamespace(withoutLog(ctx)) }

func (s *Store) path(elem ...string) string {
	return filepath.Join(append([]string{s.root}, elem...)...)
}

// sync makes everything below the root survive a power cut. After an error it never works again: the kernel tells of
// bytes that it could not write once, to whoever asks first, and they may be those of any tree.
func (s *Store) sync() error {
	s.syncing.Lock()
	defer s.syncing.Unlock()
	if s.syncErr == nil {
		s.syncErr = unix.Syncfs(int(s.rootFile.Fd()))
	}
	if s.syncErr != nil {
		return fmt.Errorf("sync %s: %w", s.root, s.syncErr)
	}
	return nil
}
