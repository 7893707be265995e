package snapshot

import (
	"errors"
	"fmt"
	"io"
	"os"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
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

// exclusively runs fn with the open database while no other transaction runs, in this process or another. Transactions
// that fn needs go to db: View and Update would wait for fn forever.
func (d *database) exclusively(fn func(db *bolt.DB) error) error {
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
	db, err := bolt.Open(path, 0o600, &bolt.Options{
		ReadOnly:     mode == shared,
		NoStatistics: true,
		OpenFile:     openReserved,
	})
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, err)
	}
	return db, nil
}

// reserve is what a database may grow by on a full disk: freeing something takes transactions.
const reserve = 1 << 20 // bytes

const statBlock = 512 // bytes, the unit of stat's block count

// openReserved opens a database file. If it is opened for writing, blocks beyond its end are allocated to it, which is
// tried anew each time and may fail: then there is no reserve.
func openReserved(path string, flag int, perm os.FileMode) (*os.File, error) {
	f, err := os.OpenFile(path, flag, perm)
	if err != nil || flag&os.O_RDWR == 0 {
		return f, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if st.Blocks*statBlock < st.Size+reserve/2 {
		_ = unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, st.Size+reserve)
	}
	return f, nil
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
