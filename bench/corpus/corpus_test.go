package corpus

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

func tarOf(t testing.TB, s Spec) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := s.Write(context.Background(), &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestCorporaKeepTheirBytes fails when a change makes figures of earlier commits incomparable.
func TestCorporaKeepTheirBytes(t *testing.T) {
	var got strings.Builder
	for _, name := range Names() {
		sum := sha256.Sum256(tarOf(t, Spec{Name: name, Seed: 1, Size: 3_000_000}))
		got.WriteString(name + " " + hex.EncodeToString(sum[:]) + "\n")
	}
	golden := filepath.Join("testdata", "digests.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("digests (-want +got):\n%s", diff)
	}
}

func TestSeedsAndKindsDiffer(t *testing.T) {
	seen := map[string]string{}
	for _, name := range Names() {
		for _, seed := range []uint64{0, 1 << 63} {
			text := string(tarOf(t, Spec{Name: name, Seed: seed, Size: 2_000_000}))
			if other := seen[text]; other != "" {
				t.Errorf("%s with seed %d is the same as %s", name, seed, other)
			}
			seen[text] = name
		}
	}
}

func TestTarsAreWholeAndOfTheirSize(t *testing.T) {
	for _, name := range Names() {
		for _, size := range []int64{1, 5_000, 1_000_000} {
			data := tarOf(t, Spec{Name: name, Size: size})
			if over := int64(len(data)) - size; over > 8_000 || over < -8_000 {
				t.Errorf("%s of %d bytes has %d", name, size, len(data))
			}
			names := map[string]bool{}
			for r := tar.NewReader(bytes.NewReader(data)); ; {
				header, err := r.Next()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatalf("%s of %d bytes: %v", name, size, err)
				}
				if names[header.Name] {
					t.Errorf("%s has %s twice", name, header.Name)
				}
				names[header.Name] = true
			}
		}
	}
}

func TestUnknownCorporaAreRefused(t *testing.T) {
	for _, s := range []Spec{{Name: "movies"}, {Size: -1}} {
		if err := s.Write(context.Background(), io.Discard); err == nil {
			t.Errorf("%+v was made", s)
		}
	}
}

func TestWriteEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	cause := errors.New("enough")
	cancel(cause)
	if err := (Spec{}).Write(ctx, io.Discard); !errors.Is(err, cause) {
		t.Errorf("error is %v, want %v", err, cause)
	}
}
