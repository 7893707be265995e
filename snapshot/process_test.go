package snapshot

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// children are the parts that a re-executed test binary can play; the first argument is the root.
var children = map[string]func(ctx context.Context, args []string) error{
	"build": buildSteps,
	"hang":  hangInStep,
	"churn": unpackAndPrune,
	"lock":  lockAndHang,
	"count": countUnderLock,
}

func child(t testing.TB, part string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), childEnv+"="+part)
	return cmd
}

// buildSteps makes a chain of recorded steps with a blob each: ROOT NAME COUNT.
func buildSteps(ctx context.Context, args []string) error {
	s, err := Open(ctx, Options{Root: args[0]})
	if err != nil {
		return err
	}
	defer s.Close()
	l, err := s.Lease(ctx)
	if err != nil {
		return err
	}
	count, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	ctx = l.Context(ctx)
	parent := ""
	for i := range count {
		if parent, err = recordedStep(ctx, s, parent, fmt.Sprintf("%s-%d", args[1], i)); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
	}
	return l.Release()
}

func recordedStep(ctx context.Context, s *Store, parent, key string) (string, error) {
	name, err := step(ctx, s, parent, write(key))
	if err != nil {
		return "", err
	}
	blob, err := s.WriteBlob(ctx, "text/plain", []byte(key), nil)
	if err != nil {
		return "", err
	}
	return name, s.PutRecord(ctx, Record{Key: key, Snapshot: name, Blobs: []digest.Digest{blob.Digest}})
}

// hangInStep has one of each thing under way, says so, and waits to be killed.
func hangInStep(ctx context.Context, args []string) error {
	s, err := Open(ctx, Options{Root: args[0]})
	if err != nil {
		return err
	}
	l, err := s.Lease(ctx)
	if err != nil {
		return err
	}
	ctx = l.Context(ctx)
	w, err := s.Prepare(ctx, "")
	if err != nil {
		return err
	}
	if _, err := w.Mount(ctx); err != nil {
		return err
	}
	b, err := s.NewBlob(ctx)
	if err != nil {
		return err
	}
	if _, err := b.Write([]byte("half")); err != nil {
		return err
	}
	fmt.Println("ready")
	time.Sleep(time.Hour)
	return nil
}

// unpackAndPrune unpacks an image, names it and removes it again, over and over: ROOT BLOBS MANIFEST.
func unpackAndPrune(ctx context.Context, args []string) error {
	s, err := Open(ctx, Options{Root: args[0], Jobs: 4})
	if err != nil {
		return err
	}
	defer s.Close()
	var target ocispec.Descriptor
	if err := json.Unmarshal([]byte(args[2]), &target); err != nil {
		return err
	}
	for {
		if err := unpackOnce(ctx, s, target, blobDir(args[1])); err != nil {
			return err
		}
		if _, err := s.Prune(ctx, PruneOptions{All: true}); err != nil {
			return err
		}
	}
}

func unpackOnce(ctx context.Context, s *Store, target ocispec.Descriptor, from blobDir) error {
	l, err := s.Lease(ctx)
	if err != nil {
		return err
	}
	name, err := s.Unpack(l.Context(ctx), target, from, UnpackOptions{})
	if err != nil {
		return errors.Join(err, l.Release())
	}
	return errors.Join(s.PutRecord(ctx, Record{Key: "image", Snapshot: name}), l.Release())
}

// blobDir is a registry of files.
type blobDir string

func (dir blobDir) Fetch(_ context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	return os.Open(filepath.Join(string(dir), desc.Digest.Encoded()))
}

func (r *registry) save(t testing.TB) blobDir {
	t.Helper()
	dir := t.TempDir()
	for d, data := range r.blobs {
		if err := os.WriteFile(filepath.Join(dir, d.Encoded()), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return blobDir(dir)
}

func TestTwoProcessesShareARoot(t *testing.T) {
	const steps = 15
	root := newRoot(t)
	var running []*exec.Cmd
	var outputs [3]bytes.Buffer
	for i := range outputs {
		cmd := child(t, "build", root, fmt.Sprint("p", i), strconv.Itoa(steps))
		cmd.Stdout, cmd.Stderr = &outputs[i], &outputs[i]
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		running = append(running, cmd)
	}
	for i, cmd := range running {
		if err := cmd.Wait(); err != nil {
			t.Errorf("process %d: %v\n%s", i, err, outputs[i].String())
		}
	}
	s := openStore(t, Options{Root: root})
	if err := s.Collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, ctx := newLease(t, s)
	for i := range outputs {
		checkChain(t, ctx, s, fmt.Sprint("p", i), steps)
	}
}

func checkChain(t *testing.T, ctx context.Context, s *Store, name string, steps int) {
	t.Helper()
	r, err := s.Record(ctx, fmt.Sprintf("%s-%d", name, steps-1))
	if err != nil {
		t.Fatal(err)
	}
	want := mustStep(t, ctx, s, "", func(dir string) error {
		for i := range steps {
			if err := write(fmt.Sprintf("%s-%d", name, i))(dir); err != nil {
				return err
			}
		}
		return nil
	})
	if diff := cmp.Diff(view(t, ctx, s, want), view(t, ctx, s, r.Snapshot)); diff != "" {
		t.Error(diff)
	}
}

func TestOpenCleansUpAfterAKilledProcess(t *testing.T) {
	root := newRoot(t)
	cmd := child(t, "hang", root)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	live := openStore(t, Options{Root: root})
	if n := len(leftovers(t, root)); n < 4 {
		t.Errorf("a live process lost its lease, workspace, mount or blob: %v", leftovers(t, root))
	}
	if err := live.Close(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()

	var reaped []string
	s := openStore(t, Options{Root: root, Reap: func(_ context.Context, dir string) error {
		if mounts, err := filepath.Glob(filepath.Join(dir, "mnt", "*")); err != nil || len(mounts) != 1 {
			return fmt.Errorf("mounts %v: %w", mounts, err)
		}
		reaped = append(reaped, filepath.Base(dir))
		return nil
	}})
	if len(reaped) != 1 {
		t.Errorf("reaped %v, want one lease", reaped)
	}
	if left := leftovers(t, s.Root()); len(left) > 0 {
		t.Error(left)
	}
}

func TestKillAtAnyMomentLeavesARootThatWorks(t *testing.T) {
	root := newRoot(t)
	seed := mathrand.Uint64()
	t.Logf("seed %d", seed)
	random := mathrand.New(mathrand.NewPCG(seed, 0))
	for round := range 25 {
		var out bytes.Buffer
		cmd := child(t, "build", root, fmt.Sprint("k", round), "1000")
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(random.IntN(120_000)) * time.Microsecond)
		_ = cmd.Process.Kill()
		if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() == 1 {
			t.Fatalf("round %d: %v\n%s", round, err, out.String())
		}
		s, err := Open(t.Context(), Options{Root: root})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		checkRecords(t, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	s := openStore(t, Options{Root: root})
	if _, err := s.Prune(t.Context(), PruneOptions{}); err != nil {
		t.Fatal(err)
	}
	if left := leftovers(t, root); len(left) > 0 {
		t.Error(left)
	}
}

// Two processes unpack the same image and prune; one of them is killed at any moment.
func TestKillWhileUnpackingAndPruning(t *testing.T) {
	root := newRoot(t)
	r := newRegistry()
	target := r.putImage(t, manyLayers(t, 4)...)
	manifest, err := json.Marshal(target)
	if err != nil {
		t.Fatal(err)
	}
	blobs := r.save(t)
	s := openStore(t, Options{Root: root})
	for round := range 12 {
		var out bytes.Buffer
		cmd := child(t, "churn", root, string(blobs), string(manifest))
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for range 1 + mathrand.IntN(3) {
			if err := unpackOnce(t.Context(), s, target, blobs); err != nil {
				t.Errorf("round %d: %v", round, err)
			}
		}
		_ = cmd.Process.Kill()
		if err := cmd.Wait(); cmd.ProcessState.ExitCode() == 1 {
			t.Fatalf("round %d: %v\n%s", round, err, out.String())
		}
	}
	last := openStore(t, Options{Root: root})
	if err := unpackOnce(t.Context(), last, target, blobs); err != nil {
		t.Fatal(err)
	}
	if _, err := last.Prune(t.Context(), PruneOptions{All: true}); err != nil {
		t.Fatal(err)
	}
	if left := leftovers(t, root); len(left) > 0 {
		t.Error(left)
	}
}

// checkRecords reads every snapshot and blob that a record names.
func checkRecords(t *testing.T, s *Store) {
	t.Helper()
	_, ctx := newLease(t, s)
	for _, key := range storedKeys(t, s) {
		r, err := s.Record(ctx, key)
		if err != nil {
			t.Fatal(err)
		}
		dirs, err := s.Dirs(ctx, r.Snapshot)
		if err != nil {
			t.Fatal(err)
		}
		if data, err := os.ReadFile(filepath.Join(dirs.Upper, key)); err != nil || string(data) != key {
			t.Errorf("%s: %q, %v", key, data, err)
		}
	}
}
