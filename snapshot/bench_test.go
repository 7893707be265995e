package snapshot

import (
	"testing"
)

func BenchmarkOpen(b *testing.B) {
	root := newRoot(b)
	openStore(b, Options{Root: root})
	for b.Loop() {
		s, err := Open(b.Context(), Options{Root: root})
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRecordedStep is what the store adds to a step: prepare, mount, commit, record.
func BenchmarkRecordedStep(b *testing.B) {
	s := openStore(b, Options{})
	_, ctx := newLease(b, s)
	base := mustStep(b, ctx, s, "", write("a"))
	for b.Loop() {
		name := mustStep(b, ctx, s, base, write("b"))
		if err := s.PutRecord(ctx, Record{Key: "k", Snapshot: name}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRecord is the look-up of a finished step.
func BenchmarkRecord(b *testing.B) {
	s := openStore(b, Options{})
	_, ctx := newLease(b, s)
	if err := s.PutRecord(ctx, Record{Key: "k"}); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := s.Record(ctx, "k"); err != nil {
			b.Fatal(err)
		}
	}
}
