package snapshot

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/metadata/boltutil"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/sirupsen/logrus"
	bolt "go.etcd.io/bbolt"
)

// withNamespace adds the namespace.
func withNamespace(ctx context.Context) context.Context {
	if ns, ok := namespaces.Namespace(ctx); ok && ns == namespace {
		return ctx
	}
	return namespaces.WithNamespace(ctx, namespace)
}

// withoutLog keeps containerd's log lines from standard error. A caller that set a logger of its own gets them.
func withoutLog(ctx context.Context) context.Context {
	if log.G(ctx).Logger != log.L.Logger {
		return ctx
	}
	silent := logrus.New()
	silent.SetOutput(io.Discard)
	silent.SetLevel(logrus.PanicLevel)
	return log.WithLogger(ctx, logrus.NewEntry(silent))
}

var mute sync.Mutex // one change of containerd's log level at a time

// withoutWarnings runs fn while containerd's own logger is quiet: the content store warns there, past any context,
// about file systems without fs-verity, which are most.
func withoutWarnings(fn func()) {
	mute.Lock()
	defer mute.Unlock()
	logger := log.L.Logger
	level := logger.GetLevel()
	logger.SetLevel(min(level, logrus.ErrorLevel))
	defer logger.SetLevel(level)
	fn()
}

// detached is the context of cleaning up: it has to happen also when the work was cancelled, and takes no time limit.
func detached() context.Context {
	return withNamespace(withoutLog(context.Background()))
}

// transact joins what fn does with containerd's metadata into one transaction. "Already exists" commits like success:
// containerd adds what exists to the lease before it says so.
func (s *Store) transact(ctx context.Context, fn func(ctx context.Context, tx *bolt.Tx) error) error {
	if tx, ok := boltutil.Transaction(ctx); ok {
		return fn(ctx, tx)
	}
	var result error
	err := s.meta.Update(func(tx *bolt.Tx) error {
		result = fn(boltutil.WithTransaction(ctx, tx), tx)
		if _, undo := errors.AsType[*updateError](result); errdefs.IsAlreadyExists(result) && !undo {
			return nil
		}
		return result
	})
	if err != nil {
		return err
	}
	return result
}

func leaseID(ctx context.Context) string {
	id, _ := leases.FromContext(ctx)
	return id
}
