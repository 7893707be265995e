package snapshot

import (
	"context"
	"sync"
)

// keyed is one lock for each key.
type keyed struct {
	mu    sync.Mutex
	locks map[string]*turn
}

type turn struct {
	free  chan struct{} // holds one token while nobody has the lock
	users int
}

func newKeyed() *keyed { return &keyed{locks: map[string]*turn{}} }

// Lock waits for the key's lock or for the end of ctx.
func (k *keyed) Lock(ctx context.Context, key string) error {
	k.mu.Lock()
	t, ok := k.locks[key]
	if !ok {
		t = &turn{free: make(chan struct{}, 1)}
		t.free <- struct{}{}
		k.locks[key] = t
	}
	t.users++
	k.mu.Unlock()

	select {
	case <-t.free:
		return nil
	case <-ctx.Done():
		k.leave(key, t)
		return ctx.Err()
	}
}

// Unlock gives the key's lock to the next that waits.
func (k *keyed) Unlock(key string) {
	k.mu.Lock()
	t := k.locks[key]
	k.mu.Unlock()
	t.free <- struct{}{}
	k.leave(key, t)
}

func (k *keyed) leave(key string, t *turn) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if t.users--; t.users == 0 {
		delete(k.locks, key)
	}
}
