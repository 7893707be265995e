package snapshot

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/core/metadata/boltutil"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/snapshots/storage"
	"github.com/containerd/containerd/v2/pkg/gc"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	bolt "go.etcd.io/bbolt"
)

// Collect removes what no lease, record or image name reaches.
func (s *Store) Collect(ctx context.Context) error {
	swept, err := s.collect(s.Context(ctx))
	return errors.Join(err, s.removeTrash(ctx, swept.trashed...))
}

// swept is what a collection swept away.
type swept struct {
	PruneReport
	trashed []string // into the trash, whose caller removes it
}

// collect marks and sweeps while no other transaction runs, so nothing can be named in between. Trees are only renamed
// under the lock.
func (s *Store) collect(ctx context.Context) (report swept, err error) {
	err = s.db.exclusively(func(db *bolt.DB) error {
		if err := s.mark(ctx, db); err != nil {
			return err
		}
		report, err = s.sweep(ctx, db)
		return err
	})
	if err != nil {
		return report, fmt.Errorf("collect garbage: %w", err)
	}
	return report, nil
}

// mark removes from the database what nothing reaches. The files are left to sweep, which also finds those of processes
// that were killed between a file and its transaction.
func (s *Store) mark(ctx context.Context, db *bolt.DB) error {
	roots, err := s.cleanRecords(ctx, db)
	if err != nil {
		return err
	}
	meta := metadata.NewDB(db, noFiles{s.files}, nil)
	meta.RegisterCollectibleResource(recordResource, roots)
	_, err = meta.GarbageCollect(ctx)
	return err
}

// cleanRecords removes the records that cannot be used and returns what the others name. It reads them before the
// collection: a collector that fails to start is left out by containerd, and everything that records name would be
// collected.
func (s *Store) cleanRecords(ctx context.Context, db *bolt.DB) (roots, error) {
	var usable map[string]Record
	var unusable []string
	old := false
	err := db.View(func(tx *bolt.Tx) error {
		usable, unusable = sortRecords(tx)
		old = bucket(tx, oldRecordsBucket...) != nil
		return nil
	})
	if err == nil && (old || len(unusable) > 0) {
		err = db.Update(func(tx *bolt.Tx) error {
			if err := deleteOldRecords(tx); err != nil {
				return err
			}
			return s.deleteRecords(boltutil.WithTransaction(ctx, tx), tx, unusable)
		})
	}
	var nodes roots
	for _, r := range usable {
		nodes = append(nodes, recordNodes(r.Snapshot, r.Blobs)...)
	}
	return nodes, err
}

// sweep removes the files that the database does not know.
func (s *Store) sweep(ctx context.Context, db *bolt.DB) (report swept, err error) {
	var known inventory
	if err := db.View(func(tx *bolt.Tx) error { known = readInventory(tx); return nil }); err != nil {
		return report, err
	}
	err = errors.Join(
		s.sweepSnapshots(ctx, known, &report),
		s.sweepBlobs(ctx, known, &report),
		s.sweepIngests(known, &report),
		db.Update(func(tx *bolt.Tx) error { return dropFingerprints(tx, known) }),
	)
	return report, err
}

// inventory is what the database knows.
type inventory struct {
	snapshots map[string]bool // by their name in the snapshotter
	blobs     map[string]bool
	ingests   map[string]bool // by their name in the content store
}

func readInventory(tx *bolt.Tx) inventory {
	ingests := bucket(tx, ingestsBucket...)
	known := inventory{
		snapshots: fields(bucket(tx, snapshotsBucket...), "name"),
		blobs:     fields(ingests, "expected"), // found on disk, not yet committed
		ingests:   fields(ingests, "ref"),
	}
	if b := bucket(tx, blobsBucket...); b != nil {
		_ = b.ForEachBucket(func(d []byte) error { known.blobs[string(d)] = true; return nil })
	}
	return known
}

func (s *Store) sweepSnapshots(ctx context.Context, known inventory, report *swept) error {
	return s.snapshotterDB.WithTransaction(ctx, true, func(ctx context.Context) error {
		children := map[string][]string{}
		var unknown []string
		err := storage.WalkInfo(ctx, func(_ context.Context, info snapshots.Info) error {
			children[info.Parent] = append(children[info.Parent], info.Name)
			if !known.snapshots[info.Name] {
				unknown = append(unknown, info.Name)
			}
			return nil
		})
		if errdefs.IsNotFound(err) {
			return nil // no snapshot was ever made
		}
		if err != nil {
			return err
		}
		removed := map[string]bool{}
		for _, name := range unknown {
			if err := removeTree(ctx, name, children, removed, report); err != nil {
				return err
			}
		}
		trashed, err := s.snapshotterDB.discardUnknown(ctx)
		report.trashed = append(report.trashed, trashed...)
		return err
	})
}

// removeTree removes what stands on name, then name.
func removeTree(ctx context.Context, name string, children map[string][]string, removed map[string]bool, report *swept) error {
	if removed[name] {
		return nil
	}
	removed[name] = true
	for _, child := range children[name] {
		if err := removeTree(ctx, child, children, removed, report); err != nil {
			return err
		}
	}
	_, _, usage, err := storage.GetInfo(ctx, name)
	if err != nil {
		return err
	}
	report.Snapshots++
	report.Bytes += usage.Size
	_, _, err = storage.Remove(ctx, name)
	return err
}

func isDigest(d digest.Digest) bool { return d.Validate() == nil }

func (s *Store) sweepBlobs(ctx context.Context, known inventory, report *swept) error {
	return s.files.Walk(ctx, func(info content.Info) error {
		if known.blobs[info.Digest.String()] || !isDigest(info.Digest) {
			return nil
		}
		report.Blobs++
		report.Bytes += info.Size
		return s.files.Delete(ctx, info.Digest)
	})
}

// sweepIngests goes by the directories' names, the hash of the ingest's: a killed process may have left any part of one.
func (s *Store) sweepIngests(known inventory, report *swept) error {
	keep := map[string]bool{}
	for ref := range known.ingests {
		keep[digest.FromString(ref).Encoded()] = true
	}
	entries, err := os.ReadDir(s.path("content", "ingest"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if keep[e.Name()] {
			continue
		}
		trashed, err := s.trash.moveIn(s.path("content", "ingest", e.Name()))
		if err != nil {
			return err
		}
		report.trashed = append(report.trashed, trashed)
	}
	return nil
}

func dropFingerprints(tx *bolt.Tx, known inventory) error {
	b := bucket(tx, fingerprintsBucket...)
	if b == nil {
		return nil
	}
	c := b.Cursor()
	for d, _ := c.First(); d != nil; d, _ = c.Next() {
		if known.blobs[string(d)] {
			continue
		}
		if err := c.Delete(); err != nil {
			return err
		}
	}
	return nil
}

// recordResource is a number that containerd's metadata leaves free.
const recordResource gc.ResourceType = 0x1e

// roots are the snapshots and blobs that records name, as a collector of containerd's metadata.
type roots []gc.Node

func recordNodes(snapshot string, blobs []digest.Digest) []gc.Node {
	var nodes []gc.Node
	if snapshot != "" {
		nodes = append(nodes, gc.Node{Type: metadata.ResourceSnapshot, Namespace: namespace, Key: snapshotter + "/" + snapshot})
	}
	for _, d := range blobs {
		nodes = append(nodes, gc.Node{Type: metadata.ResourceContent, Namespace: namespace, Key: d.String()})
	}
	return nodes
}

func (r roots) StartCollection(context.Context) (metadata.CollectionContext, error) { return r, nil }
func (r roots) ReferenceLabel() string                                              { return "" }
func (r roots) All(func(gc.Node))                                                   {}
func (r roots) Leased(string, string, func(gc.Node))                                {}
func (r roots) Remove(gc.Node)                                                      {}
func (r roots) Cancel() error                                                       { return nil }
func (r roots) Finish() error                                                       { return nil }

func (r roots) Active(ns string, fn func(gc.Node)) {
	if ns != namespace {
		return
	}
	for _, node := range r {
		fn(node)
	}
}

// noFiles is a content store with nothing in it, for a collection that leaves the files alone.
type noFiles struct{ content.Store }

func (noFiles) Walk(context.Context, content.WalkFunc, ...string) error           { return nil }
func (noFiles) WalkStatusRefs(context.Context, func(string) error) error          { return nil }
func (noFiles) ListStatuses(context.Context, ...string) ([]content.Status, error) { return nil, nil }
