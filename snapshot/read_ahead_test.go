package snapshot

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	"go.uber.org/goleak"
)

func TestReadAheadGivesTheSameBytes(t *testing.T) {
	for name, size := range map[string]int{
		"nothing": 0, "a byte": 1, "a piece": readAheadPiece, "a byte more": readAheadPiece + 1, "more than is read ahead": 3*readAheadPieces*readAheadPiece + 7,
	} {
		want := make([]byte, size)
		random := rand.NewChaCha8([32]byte{1})
		_, _ = random.Read(want)
		for kind, r := range map[string]io.Reader{
			"whole": bytes.NewReader(want), "in halves": iotest.HalfReader(bytes.NewReader(want)), "EOF with data": iotest.DataErrReader(bytes.NewReader(want)),
		} {
			a := readAhead(t.Context(), r)
			got, err := io.ReadAll(iotest.HalfReader(a))
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s, %s: %d bytes, want %d: %v", name, kind, len(got), len(want), err)
			}
			if err := a.Close(); err != nil {
				t.Errorf("%s, %s: %v", name, kind, err)
			}
		}
	}
}

func TestReadAheadGivesAnErrorBehindTheBytesBeforeIt(t *testing.T) {
	bad := errors.New("bad")
	a := readAhead(t.Context(), io.MultiReader(bytes.NewReader(make([]byte, readAheadPiece+5)), iotest.ErrReader(bad)))
	defer a.Close()
	for range 2 { // and stays at it
		n, err := io.Copy(io.Discard, a)
		if !errors.Is(err, bad) {
			t.Errorf("%d bytes, %v", n, err)
		}
	}
}

func TestReadAheadEndsWithItsContextAndWithItsReader(t *testing.T) {
	for name, end := range map[string]func(a *readAheadReader, cancel func()){
		"closed before it is read": func(*readAheadReader, func()) {},
		"closed in the middle":     func(a *readAheadReader, _ func()) { _, _ = io.CopyN(io.Discard, a, readAheadPiece/2) },
		"canceled": func(a *readAheadReader, cancel func()) {
			cancel()
			if _, err := io.Copy(io.Discard, a); !errors.Is(err, context.Canceled) {
				t.Errorf("canceled: %v", err)
			}
		},
		"canceled when all is read ahead": func(a *readAheadReader, cancel func()) {
			for len(a.full) < readAheadPieces {
				continue
			}
			cancel()
			if _, err := io.Copy(io.Discard, a); !errors.Is(err, context.Canceled) {
				t.Errorf("canceled when all is read ahead: %v", err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			a := readAhead(ctx, endless{})
			end(a, cancel)
			if err := a.Close(); err != nil {
				t.Error(err)
			}
			if _, err := a.Read(make([]byte, 1)); !errors.Is(err, io.ErrClosedPipe) {
				t.Errorf("read after Close: %v", err)
			}
		})
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }
