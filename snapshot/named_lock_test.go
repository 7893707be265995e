package snapshot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// lockAndHang takes a lock, says so, and waits to be killed: ROOT NAME.
func lockAndHang(ctx context.Context, args []string) error {
	s, err := Open(ctx, Options{Root: args[0]})
	if err != nil {
		return err
	}
	if _, err := s.Lock(ctx, args[1]); err != nil {
		return err
	}
	fmt.Println("ready")
	time.Sleep(time.Hour)
	return nil
}

// countUnderLock adds to the number in a file, which loses some without the lock: ROOT FILE ROUNDS.
func countUnderLock(ctx context.Context, args []string) error {
	s, err := Open(ctx, Options{Root: args[0]})
	if err != nil {
		return err
	}
	defer s.Close()
	rounds, err := strconv.Atoi(args[2])
	for range rounds {
		err = errors.Join(err, countOnce(ctx, s, args[1]))
	}
	return err
}

func countOnce(ctx context.Context, s *Store, file string) (err error) {
	release, err := s.Lock(ctx, "count")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(string(data))
	if err != nil {
		return err
	}
	return os.WriteFile(file, []byte(strconv.Itoa(n+1)), 0o600)
}

func mustLock(t *testing.T, s *Store, name string) (release func() error) {
	t.Helper()
	release, err := s.Lock(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return release
}

func noLockFiles(t *testing.T, s *Store) {
	t.Helper()
	if left := namesOf(t, s.path("locks")); len(left) > 0 {
		t.Errorf("left are %v", left)
	}
}

func TestLockExcludesOthersOfItsName(t *testing.T) {
	s := openStore(t, Options{})
	other := openStore(t, Options{Root: s.Root()})
	release := mustLock(t, s, "a/../b")
	for _, store := range []*Store{s, other} {
		if _, ok, err := store.TryLock("a/../b"); ok || err != nil {
			t.Errorf("locked twice: %v, %v", ok, err)
		}
		if err := mustLock(t, store, "another")(); err != nil {
			t.Error(err)
		}
	}
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, errors.New("enough"))
	defer cancel()
	if _, err := other.Lock(ctx, "a/../b"); err == nil || err.Error() != "enough" {
		t.Errorf("got %v, want the cause of the end", err)
	}
	if err := errors.Join(release(), release()); err != nil {
		t.Error(err)
	}
	again, ok, err := other.TryLock("a/../b")
	if !ok || err != nil {
		t.Fatalf("not released: %v", err)
	}
	if err := errors.Join(release(), again()); err != nil {
		t.Error(err)
	}
	noLockFiles(t, s)
}

func TestLockOfManyGoroutines(t *testing.T) {
	s := openStore(t, Options{})
	other := openStore(t, Options{Root: s.Root()})
	const goroutines, rounds = 50, 200
	inside, count := atomic.Int32{}, 0
	var wg sync.WaitGroup
	for i := range goroutines {
		store := []*Store{s, other}[i%2]
		wg.Go(func() {
			for range rounds {
				release, err := store.Lock(t.Context(), "k")
				if err != nil {
					t.Error(err)
					return
				}
				if n := inside.Add(1); n != 1 {
					t.Errorf("%d have the lock", n)
				}
				count++
				inside.Add(-1)
				if err := release(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if count != goroutines*rounds {
		t.Errorf("%d rounds of %d", count, goroutines*rounds)
	}
	noLockFiles(t, s)
}

func TestLockOfManyProcesses(t *testing.T) {
	s := openStore(t, Options{})
	file := filepath.Join(t.TempDir(), "count")
	if err := os.WriteFile(file, []byte("0"), 0o600); err != nil {
		t.Fatal(err)
	}
	const processes, rounds = 4, 100
	var running []*exec.Cmd
	for range processes {
		cmd := child(t, "count", s.Root(), file, strconv.Itoa(rounds))
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		running = append(running, cmd)
	}
	for _, cmd := range running {
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
	if data, err := os.ReadFile(file); err != nil || string(data) != strconv.Itoa(processes*rounds) {
		t.Errorf("counted %s, %v", data, err)
	}
	noLockFiles(t, s)
}

func TestLockEndsWithItsHolder(t *testing.T) {
	s := openStore(t, Options{})
	hang := func(name string) *exec.Cmd {
		cmd := child(t, "lock", s.Root(), name)
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
		return cmd
	}
	for _, name := range []string{"waited for", "left"} {
		cmd := hang(name)
		if _, ok, err := s.TryLock(name); ok || err != nil {
			t.Errorf("%s: not locked: %v", name, err)
		}
		if err := s.removeDeadLocks(); err != nil || len(namesOf(t, s.path("locks"))) != 1 {
			t.Errorf("%s: lost the file of a live lock: %v", name, err)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		if name == "left" {
			break
		}
		if err := mustLock(t, s, name)(); err != nil {
			t.Error(err)
		}
		noLockFiles(t, s)
	}
	noLockFiles(t, openStore(t, Options{Root: s.Root()}))
}
