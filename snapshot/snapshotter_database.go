package snapshot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/containerd/containerd/v2/core/snapshots/storage"
	bolt "go.etcd.io/bbolt"
)

// snapshotterDatabase is the overlay snapshotter's database, opened for the length of a transaction like [database].
// Its lock is another one, taken second: containerd's metadata calls the snapshotter within its own transactions.
type snapshotterDatabase struct {
	path  string
	lock  string
	dirs  string // where snapshots/N lie
	trash trash
}

// TransactionContext begins a transaction; the caller ends it with Commit or Rollback, once.
func (m *snapshotterDatabase) TransactionContext(ctx context.Context, writable bool) (context.Context, storage.Transactor, error) {
	mode := shared
	if writable {
		mode = exclusive
	}
	lock, err := lockFile(m.lock, mode)
	if err != nil {
		return ctx, nil, err
	}
	tx := &transaction{lock: lock}
	if ctx, err = tx.begin(ctx, m.path, writable); err != nil {
		return ctx, nil, errors.Join(err, tx.close())
	}
	if writable {
		if err := m.moveOrphan(tx.Transactor.(*bolt.Tx)); err != nil {
			return ctx, nil, errors.Join(err, tx.Rollback())
		}
	}
	return ctx, tx, nil
}

// WithTransaction runs fn in a transaction, which is kept if it is writable and fn returns nil.
func (m *snapshotterDatabase) WithTransaction(ctx context.Context, writable bool, fn storage.TransactionCallback) error {
	ctx, tx, err := m.TransactionContext(ctx, writable)
	if err != nil {
		return err
	}
	if err := fn(ctx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	if !writable {
		return tx.Rollback()
	}
	return tx.Commit()
}

// Close has nothing to do: nothing stays open between transactions.
func (m *snapshotterDatabase) Close() error { return nil }

// moveOrphan moves a directory out of the way that has the number of the next snapshot. A process that was killed
// between making the directory and committing its number leaves one.
func (m *snapshotterDatabase) moveOrphan(tx *bolt.Tx) error {
	root := tx.Bucket([]byte("v1"))
	if root == nil {
		return nil
	}
	numbers := root.Bucket([]byte("snapshots"))
	if numbers == nil {
		return nil
	}
	next := filepath.Join(m.dirs, strconv.FormatUint(numbers.Sequence()+1, 10))
	if !exists(next) {
		return nil
	}
	_, err := m.trash.moveIn(next) // removed by the next Open, like all that a killed process left
	return err
}

// discardUnknown moves every directory that no snapshot owns into the trash and returns their names there. ctx is that
// of a writable transaction.
func (m *snapshotterDatabase) discardUnknown(ctx context.Context) (trashed []string, err error) {
	known, err := storage.IDMap(ctx)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(m.dirs)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if _, ok := known[e.Name()]; ok {
			continue
		}
		name, err := m.trash.moveIn(filepath.Join(m.dirs, e.Name()))
		if err != nil {
			return trashed, err
		}
		trashed = append(trashed, name)
	}
	return trashed, nil
}

// transaction ends by closing the database and dropping the lock.
type transaction struct {
	storage.Transactor
	store *storage.MetaStore
	lock  *os.File
}

func (t *transaction) begin(ctx context.Context, path string, writable bool) (context.Context, error) {
	store, err := storage.NewMetaStore(path, func(o *bolt.Options) error {
		o.ReadOnly = !writable
		o.OpenFile = openReserved
		return nil
	})
	if err != nil {
		return ctx, err
	}
	t.store = store
	ctx, tx, err := store.TransactionContext(ctx, writable)
	if err != nil {
		return ctx, fmt.Errorf("snapshot database %s: %w", path, err)
	}
	t.Transactor = tx
	return ctx, nil
}

func (t *transaction) Commit() error {
	if err := t.Transactor.Commit(); err != nil {
		return errors.Join(err, t.Rollback())
	}
	return t.close()
}

func (t *transaction) Rollback() error {
	err := t.Transactor.Rollback()
	if errors.Is(err, bolt.ErrTxClosed) { //nolint:staticcheck // the same value as errors.ErrTxClosed
		err = nil
	}
	return errors.Join(err, t.close())
}

func (t *transaction) close() error {
	var err error
	if t.store != nil {
		err = t.store.Close()
	}
	return errors.Join(err, t.lock.Close())
}

// remove removes a snapshot and returns its number; the directory is the caller's to remove.
func (m *snapshotterDatabase) remove(ctx context.Context, name string) (id string, err error) {
	err = m.WithTransaction(ctx, true, func(ctx context.Context) (err error) {
		id, _, err = storage.Remove(ctx, name)
		return err
	})
	return id, err
}
