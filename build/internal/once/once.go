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

// Value is made by the first call that succeeds; later callers get that. Callers at the same time wait for each other, and
// a failure is nobody's but the caller's. Its zero value is ready.
type Value[V any] struct {
	mu   sync.Mutex
	made bool
	v    V
}

// Get gives the value, from fn if there is none yet.
func (o *Value[V]) Get(fn func() (V, error)) (V, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.made {
		return o.v, nil
	}
	v, err := fn()
	if err == nil {
		o.v, o.made = v, true
	}
	return v, err
}
