// Package packer makes layers by the code of several builders, called as libraries, each in a process of its own.
package packer

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"syscall"
	"time"

	"github.com/lbuild/lbuild/bench/compare/internal/workload"
)

// Request is one layer to make.
type Request struct {
	Packer string
	Dirs   workload.Dirs
	// Merged is where the mount of the directories is seen, and Below that of the lower ones.
	Merged, Below string
	// Blob is the file that takes the layer. It is not synced: that would measure the disk, which is the same for all.
	Blob string
	// Bytes are those that the SHA-256 probe hashes.
	Bytes int64
	// Profile is a file for a CPU profile. Empty takes none; one costs a little of the time.
	Profile string
}

// Result is what making it took. Times are those of the work in the process, without its start.
type Result struct {
	Wall, CPU time.Duration
	// Memory is the most that the process had resident, in bytes.
	Memory int64
	// Size is that of the blob, and Plain that of the tar.
	Size, Plain int64
	// Digest is that of the blob and DiffID that of the tar.
	Digest, DiffID string
}

// Command is the first argument of the program that makes Child do its work.
const Command = "pack"

// Run makes a layer in a new process of this program, which has ten seconds to clean up when the context ends. What was in
// the blob's place is removed before the clock starts.
func Run(ctx context.Context, request Request) (Result, error) {
	arg, err := json.Marshal(request)
	if err != nil {
		return Result{}, err
	}
	if err := os.Remove(request.Blob); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Result{}, err
	}
	cmd := exec.CommandContext(ctx, "/proc/self/exe", Command, string(arg))
	cmd.Env = append(os.Environ(), "TMPDIR="+filepath.Dir(request.Blob))
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return Result{}, fmt.Errorf("%s: %w", request.Packer, err)
	}
	var r Result
	return r, json.Unmarshal(out, &r)
}

// Child is the other side of Run: it does what the argument says, and prints the result.
func Child(ctx context.Context, arg string, out io.Writer) error {
	var request Request
	if err := json.Unmarshal([]byte(arg), &request); err != nil {
		return err
	}
	r, err := request.measure(ctx)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(r)
}

func (q Request) measure(ctx context.Context) (Result, error) {
	p, err := find(q.Packer)
	if err != nil {
		return Result{}, err
	}
	before, _, err := resources()
	if err != nil {
		return Result{}, err
	}
	start := time.Now()
	r, err := q.profiled(ctx, p)
	if err != nil {
		return Result{}, err
	}
	r.Wall = time.Since(start)
	after, memory, err := resources()
	r.CPU, r.Memory = after-before, memory
	return r, err
}

func (q Request) profiled(ctx context.Context, p Packer) (_ Result, err error) {
	if q.Profile == "" {
		return p.pack(ctx, q)
	}
	f, err := os.Create(q.Profile)
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := pprof.StartCPUProfile(f); err != nil {
		return Result{}, err
	}
	defer pprof.StopCPUProfile()
	return p.pack(ctx, q)
}

// resources are the CPU time and the most memory of this process so far.
func resources() (cpu time.Duration, memory int64, err error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, 0, err
	}
	// The most that rusage has may be that of the process which started this one.
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(status)) {
		if n, err := fmt.Sscanf(line, "VmHWM: %d kB", &memory); n == 1 && err == nil {
			break
		}
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), memory << 10, nil
}

// blob is a file that is hashed while it is written, as all builders do it.
type blob struct {
	file *os.File
	buf  *bufio.Writer
	hash hash.Hash
	size int64
}

const blobBuffer = 128 << 10 // bytes, as BuildKit has it

func createBlob(path string) (*blob, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	b := &blob{file: f, hash: sha256.New()}
	b.buf = bufio.NewWriterSize(writerFunc(b.write), blobBuffer)
	return b, nil
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func (b *blob) write(p []byte) (int, error) {
	n, err := b.file.Write(p)
	b.size += int64(n)
	b.hash.Write(p[:n])
	return n, err
}

// Write buffers.
func (b *blob) Write(p []byte) (int, error) { return b.buf.Write(p) }

// Close flushes and closes the file.
func (b *blob) Close() error { return errors.Join(b.buf.Flush(), b.file.Close()) }

// tarSum counts and hashes a tar.
type tarSum struct {
	hash hash.Hash
	size int64
}

func (t *tarSum) Write(p []byte) (int, error) {
	t.size += int64(len(p))
	return t.hash.Write(p)
}

func sum(h hash.Hash) string { return "sha256:" + hex.EncodeToString(h.Sum(nil)) }
