package snapshot

import (
	"context"
	"sync"
)

// keyLocks is one lock for each key.
type keyLocks struct {
	mu    sync.Mutex
	locks map[string]*keyLock
}

type keyLock struct {
	free  chan struct{} // holds one token while nobody has the lock
	users int
}

func newKeyLocks() *keyLocks { return &keyLocks{locks: map[string]*keyLock{}} }

// Lock waits for the key's lock or for the end of ctx.
func (k *keyLocks) Lock(ctx context.Context, key string) error {
	k.mu.Lock()
	l, ok := k.locks[key]
	if !ok {
		l = &keyLock{free: make(chan struct{}, 1)}
		l.free <- struct{}{}
		k.locks[key] = l
	}
	l.users++
	k.mu.Unlock()

	select {
	case <-l.free:
		return nil
	case <-ctx.Done():
		k.forget(key, l)
		return ctx.Err()
	}
}

// Unlock gives the key's lock to the next that waits.
func (k *keyLocks) Unlock(key string) {
	k.mu.Lock()
	l := k.locks[key]
	k.mu.Unlock()
	l.free <- struct{}{}
	k.forget(key, l)
}

func (k *keyLocks) forget(key string, l *keyLock) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if l.users--; l.users == 0 {
		delete(k.locks, key)
	}
}
