package difftest

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/pkg/archive"
	"github.com/lbuild/lbuild/diff/internal/treetest"
	"golang.org/x/sys/unix"
)

// layer is what a call of a differ left.
type layer struct {
	err     error // of the differ, or why its tar cannot be read
	entries []entry
	tar     []byte // nil of a big layer
	read    int64  // bytes that this process read from files during the call
	memory  int64  // bytes of resident memory that the call added at its peak
}

// entry is a tar entry. Of a big layer only name and type are kept, and of regular files also size and sum.
type entry struct {
	*tar.Header
	name string // clean, without a slash at either end
	size int64
	sum  uint32
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// meddleAt is how much of a layer has been written when a trial meddles with the files.
const meddleAt = 1 << 20 // bytes

// layer calls the differ.
func (r *runner) layer(a *attempt, p place, t trial, o *treetest.Overlay) *layer {
	ctx, cancel := context.WithTimeout(a.ctx, r.opts.Limit)
	defer cancel()
	in := Input{
		Lower: o.Lower, Upper: o.Upper, Merged: o.Merged,
		UserXattr: p.mount.UserXattr, MountOptions: p.options(t),
	}
	l := &layer{}
	m := startMeter(t.big)
	pr, pw := io.Pipe()
	w := &watched{Writer: pw, left: meddleAt, then: func() error { return nil }}
	if t.meddle != nil {
		w.then = func() error { return t.meddle(o) }
	}
	failed := make(chan error, 1)
	go func() {
		err := call(ctx, r.differ, in, w)
		failed <- err
		pw.CloseWithError(err)
	}()
	unreadable := make(chan error, 1)
	go func() { unreadable <- l.collect(pr, t) }()

	select {
	case l.err = <-failed:
	case <-time.After(r.opts.Limit + grace):
		// The call cannot be ended. What it has open must not keep the mount.
		pr.CloseWithError(context.DeadlineExceeded)
		unix.Unmount(o.Merged, unix.MNT_DETACH) //nolint:errcheck // the trial has failed anyhow
		a.Fatalf("the differ had not ended after %v", r.opts.Limit)
	}
	err := <-unreadable
	if w.err != nil {
		a.Fatalf("meddle with the files: %v", w.err)
	}
	if l.err == nil && err != nil {
		a.Fatalf("the layer cannot be read: %v", err)
	}
	if t.headers && len(l.entries) > 0 && l.entries[len(l.entries)-1].size >= enough {
		l.err = nil // it was ended on purpose, in whatever words the differ has for that
	}
	l.read, l.memory = m.stop()
	return l
}

const grace = 5 * time.Second

// call makes a panic an error.
func call(ctx context.Context, d Differ, in Input, w io.Writer) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return d(ctx, in, w)
}

// watched calls a function when so much has been written.
type watched struct {
	io.Writer
	left int
	then func() error
	err  error
}

func (w *watched) Write(p []byte) (int, error) {
	before := w.left
	if w.left -= len(p); before > 0 && w.left <= 0 {
		w.err = w.then()
	}
	return w.Writer.Write(p)
}

// errEnough ends a call that has written what is judged.
var errEnough = errors.New("enough has been written")

const enough = 1 << 30 // bytes of one file

// collect reads a tar to its end.
func (l *layer) collect(r *io.PipeReader, t trial) error {
	// A differ that goes on to write after an error here must not wait forever.
	defer io.Copy(io.Discard, r) //nolint:errcheck // nothing is left to be done
	var kept bytes.Buffer
	var from io.Reader = r
	if !t.big {
		from = io.TeeReader(r, &kept)
	}
	for tr := tar.NewReader(from); ; {
		hdr, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if t.headers && hdr.Size >= enough {
			l.entries = append(l.entries, entry{Header: hdr, name: clean(hdr.Name), size: hdr.Size})
			return r.CloseWithError(errEnough)
		}
		e, err := newEntry(hdr, tr, t.big)
		if err != nil {
			return fmt.Errorf("%q: %w", hdr.Name, err)
		}
		l.entries = append(l.entries, e)
	}
	_, err := io.Copy(io.Discard, from)
	if !t.big {
		l.tar = kept.Bytes()
	}
	return err
}

func newEntry(hdr *tar.Header, content io.Reader, big bool) (entry, error) {
	e := entry{Header: hdr, name: clean(hdr.Name)}
	if big {
		e.Header = &tar.Header{Typeflag: hdr.Typeflag, PAXRecords: hdr.PAXRecords}
	}
	if hdr.Size == 0 {
		return e, nil
	}
	sum := crc32.New(castagnoli)
	var err error
	e.size, err = io.Copy(sum, content)
	e.sum = sum.Sum32()
	return e, err
}

// clean is a name without what differs between writers of tars.
func clean(name string) string {
	return strings.TrimPrefix(path.Clean("/"+name), "/")
}

// unpack has containerd unpack the layer.
func (l *layer) unpack(a *attempt, dir string) {
	if _, err := archive.Apply(a.ctx, dir, bytes.NewReader(l.tar)); err != nil {
		a.Fatalf("the layer cannot be unpacked: %s", short(err.Error()))
	}
}

// find returns the entries of a name.
func (l *layer) find(name string) []entry {
	var found []entry
	for _, e := range l.entries {
		if e.name == clean(name) {
			found = append(found, e)
		}
	}
	return found
}

// meter measures what this process reads, and how much memory it takes.
type meter struct{ read, memory int64 }

func startMeter(precise bool) meter {
	if precise {
		debug.FreeOSMemory()
		// Starts the peak anew. Without it the peak is too high, which fails nothing but memory checks.
		os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) //nolint:errcheck // see above
	}
	return meter{procValue("/proc/self/io", "rchar:"), procValue("/proc/self/status", "VmRSS:")}
}

func (m meter) stop() (read, memory int64) {
	const kilo = 1 << 10
	return procValue("/proc/self/io", "rchar:") - m.read,
		(procValue("/proc/self/status", "VmHWM:") - m.memory) * kilo
}

// procValue returns the number after a key, or 0.
func procValue(file, key string) int64 {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(text), key)
	n, _ := strconv.ParseInt(strings.Fields(after + " 0")[0], 10, 64)
	return n
}
