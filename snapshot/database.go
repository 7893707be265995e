package snapshot

import (
	"errors"
	"fmt"
	"io"
	"os"

	bolt "go.etcd.io/bbolt"
)

// database runs bolt transactions for containerd's metadata. The file is open only for the length of a transaction, so
// that processes share it; the lock file is taken first because bolt's own lock is polled every 50 ms.
type database struct {
	path string
	lock string
}

// View runs fn in a transaction that only reads; any number run at once.
func (d *database) View(fn func(*bolt.Tx) error) error {
	return d.with(shared, func(db *bolt.DB) error { return db.View(fn) })
}

// Update runs fn in a transaction that writes; it is on disk when Update returns nil, and had no effect otherwise.
func (d *database) Update(fn func(*bolt.Tx) error) error {
	return d.with(exclusive, func(db *bolt.DB) error { return db.Update(fn) })
}

// hold runs fn with the open database while no other transaction runs, in this process or another. Transactions that
// fn needs go to db: View and Update would wait for fn forever.
func (d *database) hold(fn func(db *bolt.DB) error) error {
	return d.with(exclusive, fn)
}

func (d *database) with(mode lockMode, fn func(*bolt.DB) error) (err error) {
	lock, err := lockFile(d.lock, mode)
	if err != nil {
		return err
	}
	defer closeInto(&err, lock)

	db, err := openBolt(d.path, mode)
	if err != nil {
		return err
	}
	defer closeInto(&err, db)
	return fn(db)
}

func openBolt(path string, mode lockMode) (*bolt.DB, error) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: mode == shared, NoStatistics: true})
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, err)
	}
	return db, nil
}

// closeInto closes c and adds its error to *err. Without one *err stays the very same: containerd compares with ==.
func closeInto(err *error, c io.Closer) {
	if closeErr := c.Close(); closeErr != nil {
		*err = errors.Join(*err, closeErr)
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
