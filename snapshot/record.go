package snapshot

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	bolt "go.etcd.io/bbolt"
)

var recordsBucket = []string{"lbuild", "records"}

// Record is what a finished step left: it keeps the snapshot and the blobs that it names.
type Record struct {
	// Key finds the record.
	Key string
	// Snapshot is the name of a frozen snapshot; "" if the step made none.
	Snapshot string
	// Blobs are kept with what their labels refer to.
	Blobs []digest.Digest
	// Data is the caller's.
	Data []byte
	// Created is when the record was put; PutRecord sets it if it is zero.
	Created time.Time
}

// Record returns the record of the key. The error is errdefs.ErrNotFound if there is none, or if its snapshot or one of
// its blobs is gone. Under a lease that began before, what the record names is kept also if the record is removed.
func (s *Store) Record(_ context.Context, key string) (Record, error) {
	var r Record
	err := s.meta.View(func(tx *bolt.Tx) (err error) {
		if r, err = readRecord(tx, key); err != nil {
			return err
		}
		return present(tx, r.Snapshot, r.Blobs)
	})
	if err != nil {
		return Record{}, fmt.Errorf("record %s: %w", key, err)
	}
	return r, nil
}

// PutRecord puts the record in the place of any other with its key, in one transaction. What it names must exist.
func (s *Store) PutRecord(ctx context.Context, r Record) error { return s.PutRecords(ctx, r) }

// PutRecords is PutRecord for several in one transaction: all are put or none. It waits for the disk once, not for each.
func (s *Store) PutRecords(ctx context.Context, records ...Record) error {
	if len(records) == 0 {
		return nil
	}
	return s.transact(s.Context(ctx), func(ctx context.Context, tx *bolt.Tx) error {
		for _, r := range records {
			if err := s.putRecord(ctx, tx, r); err != nil {
				return fmt.Errorf("put record %s: %w", r.Key, err)
			}
		}
		return nil
	})
}

func (s *Store) putRecord(ctx context.Context, tx *bolt.Tx, r Record) error {
	if r.Created.IsZero() {
		r.Created = time.Now().UTC()
	}
	if err := present(tx, r.Snapshot, r.Blobs); err != nil {
		return err
	}
	if err := s.replaces(ctx, tx, r); err != nil {
		return err
	}
	return writeRecord(tx, r)
}

// DeleteRecord removes the record of the key; none is fine.
func (s *Store) DeleteRecord(ctx context.Context, key string) error {
	err := s.transact(s.Context(ctx), func(ctx context.Context, tx *bolt.Tx) error {
		return s.dropRecord(ctx, tx, key)
	})
	if err != nil {
		return fmt.Errorf("delete record %s: %w", key, err)
	}
	return nil
}

func (s *Store) dropRecord(ctx context.Context, tx *bolt.Tx, key string) error {
	old, err := readRecord(tx, key)
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := s.retain(ctx, resources(old.Snapshot, old.Blobs)); err != nil {
		return err
	}
	return bucket(tx, recordsBucket...).Delete([]byte(key))
}

// replaces keeps for live leases what the record's predecessor named.
func (s *Store) replaces(ctx context.Context, tx *bolt.Tx, r Record) error {
	old, err := readRecord(tx, r.Key)
	if errdefs.IsNotFound(err) || err == nil && old.Snapshot == r.Snapshot && slices.Equal(old.Blobs, r.Blobs) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.retain(ctx, resources(old.Snapshot, old.Blobs))
}

func readRecord(tx *bolt.Tx, key string) (Record, error) {
	var data []byte
	if b := bucket(tx, recordsBucket...); b != nil {
		data = b.Get([]byte(key))
	}
	if data == nil {
		return Record{}, errdefs.ErrNotFound
	}
	var r Record
	return r, json.Unmarshal(data, &r)
}

func writeRecord(tx *bolt.Tx, r Record) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	b, err := createBucket(tx, recordsBucket...)
	if err != nil {
		return err
	}
	return b.Put([]byte(r.Key), data)
}

// eachRecord calls fn with every record, in the order of the keys.
func eachRecord(tx *bolt.Tx, fn func(Record) error) error {
	b := bucket(tx, recordsBucket...)
	if b == nil {
		return nil
	}
	return b.ForEach(func(key, _ []byte) error {
		r, err := readRecord(tx, string(key))
		if err != nil {
			return fmt.Errorf("record %s: %w", key, err)
		}
		return fn(r)
	})
}
