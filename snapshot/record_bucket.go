package snapshot

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/containerd/errdefs"
	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// Records lie in a bucket whose name changes with their form. Those of another form count as absent and keep nothing.
var (
	recordsBucket    = []string{"lbuild", "records/2"}
	oldRecordsBucket = []string{"lbuild", "records"}
)

const recordVersion = 2

type storedRecord struct {
	Version int
	Record
}

// readRecord fails with errdefs.ErrNotFound also if it cannot make sense of what is stored.
func readRecord(tx *bolt.Tx, key string) (Record, error) {
	b := bucket(tx, recordsBucket...)
	if b == nil {
		return Record{}, errdefs.ErrNotFound
	}
	return decodeRecord(key, b.Get([]byte(key)))
}

func decodeRecord(key string, data []byte) (Record, error) {
	var r storedRecord
	if json.Unmarshal(data, &r) != nil || r.Version != recordVersion || r.Key != key {
		return Record{}, errdefs.ErrNotFound
	}
	return r.Record, nil
}

func writeRecord(tx *bolt.Tx, r Record) error {
	data, err := json.Marshal(storedRecord{recordVersion, r})
	if err != nil {
		return err
	}
	b, err := createBucket(tx, recordsBucket...)
	if err != nil {
		return err
	}
	return b.Put([]byte(r.Key), data)
}

// usableRecord reads a record and looks whether all that it names and needs is there. Records that need each other are
// fine.
func usableRecord(tx *bolt.Tx, key string) (Record, error) {
	r, err := presentRecord(tx, key)
	if err != nil {
		return r, err
	}
	seen := map[string]bool{key: true}
	for todo := r.Needs; len(todo) > 0; {
		next := todo[len(todo)-1]
		todo = todo[: len(todo)-1 : len(todo)-1]
		if seen[next] {
			continue
		}
		seen[next] = true
		needed, err := presentRecord(tx, next)
		if err != nil {
			return r, fmt.Errorf("needs record %s: %w", next, err)
		}
		todo = append(todo, needed.Needs...)
	}
	return r, nil
}

// presentRecord reads a record and looks whether its snapshot and blobs are there.
func presentRecord(tx *bolt.Tx, key string) (Record, error) {
	r, err := readRecord(tx, key)
	if err != nil {
		return r, err
	}
	return r, checkPresent(tx, r.Snapshot, r.Blobs)
}

// recordKeys lists the keys that begin with prefix, in whatever form their records are.
func recordKeys(tx *bolt.Tx, prefix string) (keys []string) {
	b := bucket(tx, recordsBucket...)
	if b == nil {
		return nil
	}
	c := b.Cursor()
	for key, _ := c.Seek([]byte(prefix)); strings.HasPrefix(string(key), prefix) && key != nil; key, _ = c.Next() {
		keys = append(keys, string(key))
	}
	return keys
}

// sortRecords tells the records that can be used from the keys of those that cannot: see [Store.Record].
func sortRecords(tx *bolt.Tx) (usable map[string]Record, unusable []string) {
	usable = map[string]Record{}
	neededBy := map[string][]string{}
	for _, key := range recordKeys(tx, "") {
		r, err := presentRecord(tx, key)
		if err != nil {
			unusable = append(unusable, key)
			continue
		}
		usable[key] = r
		for _, need := range r.Needs {
			neededBy[need] = append(neededBy[need], key)
		}
	}
	var gone []string
	for need := range neededBy {
		if _, ok := usable[need]; !ok {
			gone = append(gone, need)
		}
	}
	for len(gone) > 0 {
		need := gone[len(gone)-1]
		gone = gone[:len(gone)-1]
		for _, key := range neededBy[need] {
			if _, ok := usable[key]; ok {
				delete(usable, key)
				unusable = append(unusable, key)
				gone = append(gone, key)
			}
		}
	}
	return usable, unusable
}

// deleteOldRecords deletes the records of the form before.
func deleteOldRecords(tx *bolt.Tx) error {
	b := bucket(tx, oldRecordsBucket[0])
	if b == nil {
		return nil
	}
	if err := b.DeleteBucket([]byte(oldRecordsBucket[1])); !errors.Is(err, bolterrors.ErrBucketNotFound) {
		return err
	}
	return nil
}
