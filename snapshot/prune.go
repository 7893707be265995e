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
	var records []string
	err := s.transact(ctx, func(ctx context.Context, tx *bolt.Tx) error {
		records = recordKeys(tx, "")
		if err := s.deleteRecords(ctx, tx, records); err != nil || !opts.All {
			return err
		}
		return s.deleteNames(ctx)
	})
	if err != nil {
		return PruneReport{}, fmt.Errorf("prune: %w", err)
	}
	report, err := s.collect(ctx)
	report.Records = len(records)
	if err == nil {
		err = s.trash.empty(ctx)
	}
	return report.PruneReport, err
}

func (s *Store) deleteNames(ctx context.Context) error {
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
