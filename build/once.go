package build

import "sync"

// once runs a function once for each key. Later callers of a key wait for the first and get its result.
// The zero value is ready.
type once[K comparable, V any] struct {
	mu    sync.Mutex
	calls map[K]func() (V, error)
}

func (o *once[K, V]) do(key K, fn func() (V, error)) (V, error) {
	o.mu.Lock()
	call, ok := o.calls[key]
	if !ok {
		if o.calls == nil {
			o.calls = map[K]func() (V, error){}
		}
		call = sync.OnceValues(fn)
		o.calls[key] = call
	}
	o.mu.Unlock()
	return call()
}
