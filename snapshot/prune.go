package snapshot

import (
	"context"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// PruneOptions says what loses its name.
type PruneOptions struct {
	// All removes the image names too, not only the records of finished steps.
	All bool
}

// PruneReport counts what was removed.
type PruneReport struct {
	Bytes     int64
	Snapshots int
	Blobs     int
	Records   int
}

// Prune removes the records of finished steps, and with All the image names, and then everything that nothing reaches.
// What a live lease may use stays until a collection after its end. It also removes what others threw away; an error
// tells what cannot be removed, or that ctx ended, and that is left for the next Open.
func (s *Store) Prune(ctx context.Context, opts PruneOptions) (PruneReport, error) {
	ctx = s.Context(ctx)
	records := 0
	err := s.transact(ctx, func(ctx context.Context, tx *bolt.Tx) (err error) {
		if records, err = s.dropRecords(ctx, tx); err != nil || !opts.All {
			return err
		}
		return s.dropNames(ctx)
	})
	if err != nil {
		return PruneReport{}, fmt.Errorf("prune: %w", err)
	}
	report, err := s.collect(ctx)
	report.Records = records
	if err == nil {
		err = s.trash.empty(ctx)
	}
	return report.PruneReport, err
}

func (s *Store) dropRecords(ctx context.Context, tx *bolt.Tx) (int, error) {
	var keys []string
	err := eachRecord(tx, func(r Record) error {
		keys = append(keys, r.Key)
		return nil
	})
	if err != nil {
		return 0, err
	}
	for _, key := range keys {
		if err := s.dropRecord(ctx, tx, key); err != nil {
			return 0, err
		}
	}
	return len(keys), nil
}

func (s *Store) dropNames(ctx context.Context) error {
	images, err := s.names.List(ctx)
	if err != nil {
		return err
	}
	for _, image := range images {
		if err := s.names.Delete(ctx, image.Name); err != nil {
			return err
		}
	}
	return nil
}
