// Package once shares the result of a call between all who ask for it.
package once

import "sync"

// Map runs a function once for each key. Later callers of a key wait for the first and get its result, also when that is
// an error. Its zero value is ready.
type Map[K comparable, V any] struct {
	mu    sync.Mutex
	calls map[K]func() (V, error)
}

// Do gives the result of the key, from fn if nobody asked before.
func (m *Map[K, V]) Do(key K, fn func() (V, error)) (V, error) {
	m.mu.Lock()
	call, ok := m.calls[key]
	if !ok {
		if m.calls == nil {
			m.calls = map[K]func() (V, error){}
		}
		call = sync.OnceValues(fn)
		m.calls[key] = call
	}
	m.mu.Unlock()
	return call()
}
