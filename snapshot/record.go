package snapshot

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	bolt "go.etcd.io/bbolt"
)

// Record is what a finished step left: it keeps the snapshot and the blobs that it names. One that names none keeps
// nothing, and stays until it is deleted or pruned.
type Record struct {
	// Key finds the record.
	Key string
	// Snapshot is the name of a frozen snapshot; "" if the step made none.
	Snapshot string
	// Blobs are kept with what their labels refer to.
	Blobs []digest.Digest
	// Needs are the keys of other records without which this one is of no use: when one of them goes, this one goes,
	// too.
	Needs []string
	// Data is the caller's.
	Data []byte
	// Created is when the record was put; it is set if it is zero.
	Created time.Time
}

// Change is a change of one record: a Record takes the place of any other with its key, an Update is made of it.
type Change interface {
	change(ctx context.Context, tx *bolt.Tx, s *Store) error
}

// Update changes the record of a key within the transaction that puts it, so that writers of the same key, also in other
// processes, lose nothing of each other.
type Update struct {
	Key string
	// Func is called once, with what [Store.Record] would find, and returns what to put; its key is set. An error
	// undoes the whole transaction. All other writers wait for it, so it must not call the store.
	Func func(old Record, found bool) (Record, error)
}

// Record returns the record of the key. The error is errdefs.ErrNotFound if there is none, if it was written in another
// form, or if its snapshot, one of its blobs or one of the records that it needs is gone; those that these need count,
// too. Under a lease that began before, what the record names is kept also if the record is removed.
func (s *Store) Record(_ context.Context, key string) (Record, error) {
	var r Record
	err := s.meta.View(func(tx *bolt.Tx) (err error) {
		r, err = usableRecord(tx, key)
		return err
	})
	if err != nil {
		return Record{}, fmt.Errorf("record %s: %w", key, err)
	}
	return r, nil
}

// Records returns the records whose keys begin with prefix, in the order of the keys, but for those that Record would not
// find. What is said there of leases holds for each.
func (s *Store) Records(_ context.Context, prefix string) ([]Record, error) {
	var records []Record
	err := s.meta.View(func(tx *bolt.Tx) error {
		for _, key := range recordKeys(tx, prefix) {
			r, err := usableRecord(tx, key)
			if errdefs.IsNotFound(err) {
				continue
			}
			if err != nil {
				return fmt.Errorf("record %s: %w", key, err)
			}
			records = append(records, r)
		}
		return nil
	})
	return records, err
}

// PutRecord puts the record in the place of any other with its key, in one transaction. What it names must exist.
func (s *Store) PutRecord(ctx context.Context, r Record) error { return s.PutRecords(ctx, r) }

// UpdateRecord reads, changes and writes the record of a key in one transaction; see [Update].
func (s *Store) UpdateRecord(ctx context.Context, key string, fn func(old Record, found bool) (Record, error)) error {
	return s.PutRecords(ctx, Update{key, fn})
}

// PutRecords makes several changes in one transaction: all or none. It waits for the disk once, not for each. They are
// made in order: each finds what those before it put, and a record comes after those that it needs.
func (s *Store) PutRecords(ctx context.Context, changes ...Change) error {
	if len(changes) == 0 {
		return nil
	}
	return s.transact(s.Context(ctx), func(ctx context.Context, tx *bolt.Tx) error {
		for _, c := range changes {
			if err := c.change(ctx, tx, s); err != nil {
				return err
			}
		}
		return nil
	})
}

func (r Record) change(ctx context.Context, tx *bolt.Tx, s *Store) error {
	if err := s.putRecord(ctx, tx, r); err != nil {
		return fmt.Errorf("put record %s: %w", r.Key, err)
	}
	return nil
}

func (u Update) change(ctx context.Context, tx *bolt.Tx, s *Store) error {
	old, err := usableRecord(tx, u.Key)
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("update record %s: %w", u.Key, err)
	}
	r, err := u.Func(old, err == nil)
	if err != nil {
		return &updateError{u.Key, err}
	}
	r.Key = u.Key
	return r.change(ctx, tx, s)
}

// updateError is a caller's, which undoes the transaction whatever it wraps.
type updateError struct {
	key string
	err error
}

func (e *updateError) Error() string { return fmt.Sprintf("update record %s: %v", e.key, e.err) }
func (e *updateError) Unwrap() error { return e.err }

func (s *Store) putRecord(ctx context.Context, tx *bolt.Tx, r Record) error {
	if r.Created.IsZero() {
		r.Created = time.Now().UTC()
	}
	if err := checkPresent(tx, r.Snapshot, r.Blobs); err != nil {
		return err
	}
	for _, key := range r.Needs {
		if _, err := usableRecord(tx, key); err != nil {
			return fmt.Errorf("needs record %s: %w", key, err)
		}
	}
	if err := s.retainReplaced(ctx, tx, r); err != nil {
		return err
	}
	return writeRecord(tx, r)
}

// retainReplaced keeps for live leases what the record's predecessor named.
func (s *Store) retainReplaced(ctx context.Context, tx *bolt.Tx, r Record) error {
	old, err := readRecord(tx, r.Key)
	if errdefs.IsNotFound(err) || err == nil && old.Snapshot == r.Snapshot && slices.Equal(old.Blobs, r.Blobs) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.addToAllLeases(ctx, resources(old.Snapshot, old.Blobs))
}

// DeleteRecord removes the record of the key; none is fine. Records that need it are not found from then on, and go with
// the next collection.
func (s *Store) DeleteRecord(ctx context.Context, key string) error {
	err := s.transact(s.Context(ctx), func(ctx context.Context, tx *bolt.Tx) error {
		return s.deleteRecord(ctx, tx, key)
	})
	if err != nil {
		return fmt.Errorf("delete record %s: %w", key, err)
	}
	return nil
}

// deleteRecord keeps for live leases what the record named; what one of another form named cannot be known.
func (s *Store) deleteRecord(ctx context.Context, tx *bolt.Tx, key string) error {
	b := bucket(tx, recordsBucket...)
	if b == nil {
		return nil
	}
	old, err := readRecord(tx, key)
	if err != nil && !errdefs.IsNotFound(err) {
		return err
	}
	if err := s.addToAllLeases(ctx, resources(old.Snapshot, old.Blobs)); err != nil {
		return err
	}
	return b.Delete([]byte(key))
}

// deleteRecords deletes the records of these keys.
func (s *Store) deleteRecords(ctx context.Context, tx *bolt.Tx, keys []string) error {
	for _, key := range keys {
		if err := s.deleteRecord(ctx, tx, key); err != nil {
			return fmt.Errorf("delete record %s: %w", key, err)
		}
	}
	return nil
}
