// Package storetest opens stores for the tests of build and of what is below it.
package storetest

import (
	"context"
	"os"
	"testing"

	"github.com/lbuild/lbuild/snapshot"
)

// NeedRoot is Missing for who may not mount.
func NeedRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		Missing(t, "root, for the store")
	}
}

// Missing skips a test for what this machine lacks, or fails it where LBUILD_TEST_STRICT says that everything is there.
func Missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("LBUILD_TEST_STRICT") == "1" {
		t.Fatal("missing: " + what)
	}
	t.Skip("missing: " + what)
}

// Open opens a store that the test alone uses and closes it when the test ends. What it warns of fails the test.
func Open(t testing.TB) *snapshot.Store {
	t.Helper()
	NeedRoot(t)
	store, err := snapshot.Open(t.Context(), snapshot.Options{Root: t.TempDir(), Warn: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

// Lease is the context of a lease that lasts as long as the test, so that what it writes is kept.
func Lease(t testing.TB, store *snapshot.Store) context.Context {
	t.Helper()
	lease, err := store.Lease(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lease.Release(); err != nil {
			t.Error(err)
		}
	})
	return lease.Context(t.Context())
}
