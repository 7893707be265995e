package snapshot

import (
	bolt "go.etcd.io/bbolt"
)

// Where containerd's metadata keeps what its interfaces do not tell. The schema has been v1 since containerd 1.0, and
// Init refuses no other.
var (
	snapshotsBucket = []string{"v1", namespace, "snapshots", snapshotter}
	blobsBucket     = []string{"v1", namespace, "content", "blob"}
	ingestsBucket   = []string{"v1", namespace, "content", "ingests"}
)

// bucket follows the path; nil if a part is missing.
func bucket(tx *bolt.Tx, path ...string) *bolt.Bucket {
	b := tx.Bucket([]byte(path[0]))
	for _, name := range path[1:] {
		if b == nil {
			return nil
		}
		b = b.Bucket([]byte(name))
	}
	return b
}

// createBucket follows the path and makes what is missing of it.
func createBucket(tx *bolt.Tx, path ...string) (*bolt.Bucket, error) {
	b, err := tx.CreateBucketIfNotExists([]byte(path[0]))
	for _, name := range path[1:] {
		if err != nil {
			return nil, err
		}
		b, err = b.CreateBucketIfNotExists([]byte(name))
	}
	return b, err
}

// backendName is the name of a snapshot in the snapshotter's own database, "" if there is none.
func backendName(tx *bolt.Tx, name string) string {
	return field(bucket(tx, snapshotsBucket...), name, "name")
}

func hasBlob(tx *bolt.Tx, digest string) bool {
	b := bucket(tx, blobsBucket...)
	return b != nil && b.Bucket([]byte(digest)) != nil
}

func field(b *bolt.Bucket, entry, key string) string {
	if b == nil || entry == "" {
		return ""
	}
	if b = b.Bucket([]byte(entry)); b == nil {
		return ""
	}
	return string(b.Get([]byte(key)))
}

// fields collects one field of all entries.
func fields(b *bolt.Bucket, key string) map[string]bool {
	set := map[string]bool{}
	if b == nil {
		return set
	}
	_ = b.ForEachBucket(func(entry []byte) error {
		if v := b.Bucket(entry).Get([]byte(key)); len(v) > 0 {
			set[string(v)] = true
		}
		return nil
	})
	return set
}
