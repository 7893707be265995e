package snapshot

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestWriteBlobTwiceAddsLabels(t *testing.T) {
	s := openStore(t, Options{})
	_, ctx := newLease(t, s)
	for _, labels := range []map[string]string{{"a": "1"}, nil, {"b": "2"}} {
		if _, err := s.WriteBlob(ctx, "text/plain", []byte("blob"), labels); err != nil {
			t.Fatal(err)
		}
	}
	info, err := s.Content().Info(ctx, digest.FromString("blob"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"a": "1", "b": "2"}, info.Labels); diff != "" {
		t.Error(diff)
	}
}

func TestNewBlobStoresWhatItWasGiven(t *testing.T) {
	s := openStore(t, Options{})
	_, ctx := newLease(t, s)
	data := bytes.Repeat([]byte("layer"), 1<<16)
	want := digest.FromBytes(data)
	for range 2 { // that it exists is fine
		b, err := s.NewBlob(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		if _, err := b.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := b.Commit(ctx, int64(len(data)), want, map[string]string{"k": "v"}); err != nil {
			t.Fatal(err)
		}
	}
	got, err := content.ReadBlob(ctx, s.Content(), ocispec.Descriptor{Digest: want})
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestNewBlobRefusesAnotherDigestOrSize(t *testing.T) {
	s := openStore(t, Options{})
	l, ctx := newLease(t, s)
	for name, commit := range map[string]func(b *BlobWriter) error{
		"digest": func(b *BlobWriter) error { return b.Commit(ctx, 4, digest.FromString("other"), nil) },
		"size":   func(b *BlobWriter) error { return b.Commit(ctx, 5, digest.FromString("blob"), nil) },
		"close":  func(b *BlobWriter) error { _ = b.Close(); return b.Commit(ctx, 4, digest.FromString("blob"), nil) },
	} {
		b, err := s.NewBlob(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Write([]byte("blob")); err != nil {
			t.Fatal(err)
		}
		if err := commit(b); err == nil {
			t.Errorf("%s: committed", name)
		}
		if err := b.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	if left := leftovers(t, s.Root()); len(left) > 0 {
		t.Error(left)
	}
}

func TestCommitThatFailsClosesTheFile(t *testing.T) {
	s := openStore(t, Options{})
	_, ctx := newLease(t, s)
	b, err := s.NewBlob(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Write([]byte("blob")); err != nil {
		t.Fatal(err)
	}
	// The database cannot be locked.
	lock := filepath.Join(s.Root(), "db.lock")
	if err := errors.Join(os.Remove(lock), os.Mkdir(lock, 0o700)); err != nil {
		t.Fatal(err)
	}
	if open := openBelow(t, filepath.Join(s.Root(), "leases")); len(open) != 2 {
		t.Errorf("open are %v, want the lock of the lease and the blob", open)
	}
	if err := b.Commit(ctx, 4, digest.FromString("blob"), nil); err == nil {
		t.Error("committed")
	}
	if err := os.Remove(lock); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if open := openBelow(t, filepath.Join(s.Root(), "leases")); len(open) != 1 {
		t.Errorf("still open: %v", open)
	}
}

// openBelow lists the files below dir that this process has open.
func openBelow(t testing.TB, dir string) (open []string) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if name, err := os.Readlink(filepath.Join("/proc/self/fd", fd.Name())); err == nil && strings.HasPrefix(name, dir) {
			open = append(open, name)
		}
	}
	return open
}

func TestVerifyBlob(t *testing.T) {
	for name, test := range map[string]struct {
		harm func(path string) error
		is   func(error) bool
	}{
		"untouched": {func(string) error { return nil }, func(err error) bool { return err == nil }},
		"touched": {func(path string) error {
			return os.Chtimes(path, time.Unix(1, 0), time.Unix(1, 0))
		}, func(err error) bool { return err == nil }},
		"changed": {func(path string) error {
			return os.WriteFile(path, []byte("BLOB"), 0o600)
		}, errdefs.IsDataLoss},
		"changed with its time set back": {func(path string) error {
			info, err := os.Stat(path)
			if err != nil {
				return err
			}
			if err := os.WriteFile(path, []byte("BLOB"), 0o600); err != nil {
				return err
			}
			return os.Chtimes(path, info.ModTime(), info.ModTime())
		}, errdefs.IsDataLoss},
		"missing": {os.Remove, errdefs.IsNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			s := openStore(t, Options{})
			_, ctx := newLease(t, s)
			desc, err := s.WriteBlob(ctx, "text/plain", []byte("blob"), nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := test.harm(s.blobPath(desc.Digest)); err != nil {
				t.Fatal(err)
			}
			if got, want := s.blobs.IsVerified(desc.Digest), name == "untouched"; got != want {
				t.Errorf("IsVerified: %t, want %t", got, want)
			}
			if err := s.VerifyBlob(ctx, desc); !test.is(err) {
				t.Errorf("got %v", err)
			}
			// Whatever it was, it can be written again.
			if _, err := s.WriteBlob(ctx, "text/plain", []byte("blob"), nil); err != nil {
				t.Fatal(err)
			}
			if err := s.VerifyBlob(ctx, desc); err != nil {
				t.Error(err)
			}
			if got, err := os.ReadFile(s.blobPath(desc.Digest)); err != nil || string(got) != "blob" {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

func TestMissingFileIsAClearError(t *testing.T) {
	s := openStore(t, Options{})
	_, ctx := newLease(t, s)
	desc, err := s.WriteBlob(ctx, "text/plain", []byte("blob"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(s.blobPath(desc.Digest)); err != nil {
		t.Fatal(err)
	}
	if _, err := content.ReadBlob(ctx, s.Content(), desc); !errdefs.IsNotFound(err) {
		t.Errorf("got %v", err)
	}
}

func TestWritingReplacesABlobThatHasChanged(t *testing.T) {
	want := []byte("some blob")
	desc := ocispec.Descriptor{MediaType: "text/plain", Digest: digest.FromBytes(want), Size: int64(len(want))}
	for name, write := range map[string]func(ctx context.Context, s *Store) error{
		"WriteBlob": func(ctx context.Context, s *Store) error {
			_, err := s.WriteBlob(ctx, desc.MediaType, want, nil)
			return err
		},
		"NewBlob": func(ctx context.Context, s *Store) error {
			b, err := s.NewBlob(ctx)
			if err != nil {
				return err
			}
			_, err = b.Write(want)
			return errors.Join(err, b.Commit(ctx, desc.Size, desc.Digest, nil), b.Close())
		},
		"Content": func(ctx context.Context, s *Store) error {
			return content.WriteBlob(ctx, s.Content(), "ref", bytes.NewReader(want), desc)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := openStore(t, Options{})
			_, ctx := newLease(t, s)
			for _, harm := range []func(path string) error{
				func(string) error { return nil },
				func(path string) error { return os.WriteFile(path, []byte("some BLOB"), 0o600) },
				func(path string) error { return os.Truncate(path, 0) },
				os.Remove,
			} {
				if err := write(ctx, s); err != nil {
					t.Fatal(err)
				}
				if err := harm(s.blobPath(desc.Digest)); err != nil {
					t.Fatal(err)
				}
				if err := write(ctx, s); err != nil {
					t.Fatal(err)
				}
				if got, err := os.ReadFile(s.blobPath(desc.Digest)); err != nil || !bytes.Equal(got, want) {
					t.Errorf("the blob holds %q, %v", got, err)
				}
			}
		})
	}
}
