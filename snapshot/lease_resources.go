package snapshot

import (
	"context"
	"fmt"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	bolt "go.etcd.io/bbolt"
)

// addToLease adds snapshots and blobs to the lease of ctx. If one of them is gone, none is added.
func (s *Store) addToLease(ctx context.Context, snapshot string, blobs ...digest.Digest) error {
	lease := leases.Lease{ID: leaseID(ctx)}
	return s.transact(ctx, func(ctx context.Context, tx *bolt.Tx) error {
		if err := checkPresent(tx, snapshot, blobs); err != nil {
			return err
		}
		return s.addResources(ctx, lease, resources(snapshot, blobs))
	})
}

// addToAllLeases adds what is about to lose its name to every lease, so that a build that read the name keeps what it
// uses. It belongs into the transaction that removes the name. Leases of dead processes are ended by the next Open.
func (s *Store) addToAllLeases(ctx context.Context, what []leases.Resource) error {
	if len(what) == 0 {
		return nil
	}
	all, err := s.leases.List(ctx)
	if err != nil {
		return err
	}
	for _, lease := range all {
		if err := s.addResources(ctx, lease, what); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) addResources(ctx context.Context, lease leases.Lease, what []leases.Resource) error {
	for _, r := range what {
		if err := s.leases.AddResource(ctx, lease, r); err != nil {
			return err
		}
	}
	return nil
}

func resources(snapshot string, blobs []digest.Digest) []leases.Resource {
	var all []leases.Resource
	if snapshot != "" {
		all = append(all, leases.Resource{ID: snapshot, Type: "snapshots/" + snapshotter})
	}
	for _, d := range blobs {
		all = append(all, leases.Resource{ID: d.String(), Type: "content"})
	}
	return all
}

// checkPresent fails with ErrNotFound for the first that is missing.
func checkPresent(tx *bolt.Tx, snapshot string, blobs []digest.Digest) error {
	if snapshot != "" && backendName(tx, snapshot) == "" {
		return fmt.Errorf("snapshot %s: %w", snapshot, errdefs.ErrNotFound)
	}
	for _, d := range blobs {
		if !hasBlob(tx, d.String()) {
			return fmt.Errorf("blob %s: %w", d, errdefs.ErrNotFound)
		}
	}
	return nil
}
