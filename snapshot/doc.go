// Package snapshot keeps everything that builds share on disk: snapshots, blobs, image names, leases and records of
// finished steps. It embeds containerd's overlay snapshotter, content store and metadata under one root directory, so
// no daemon runs, and any number of processes may use one root at the same time.
//
// A build takes a [Lease] first. What it makes or uses under the lease's context is kept until the lease is released,
// or until the process dies: the lease is a locked file, and the kernel drops the lock with the process. The next
// [Open] ends what the dead left.
//
// A [Workspace] is a writable tree on top of a snapshot; committing it makes the next snapshot. A [Record] names what
// a finished step made, and keeps it when the lease is gone. What neither a lease nor a record nor an image name
// reaches is removed by [Store.Collect].
//
// A step that two builds would run has a lock of its own, from [Store.Lock]. All other locks are taken in the same
// order, and held for moments: leases, db.lock, snapshots.lock. A transaction opens its database, runs and closes it.
// Only a collection holds db.lock from the first mark to the last removed blob.
package snapshot
