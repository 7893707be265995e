package snapshot

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
)

// A header may have a megabyte of records, and those of directories are kept until the end.
func TestUntarForgetsTheRecordsOfDirectories(t *testing.T) {
	needRoot(t)
	const dirs, most = 100, 32 << 20
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before, after := heap(), int64(0)
	pr, pw := io.Pipe() // so that all but the last header has been read when it is written
	defer pr.Close()
	go func() {
		w := tar.NewWriter(pw)
		var errs []error
		for i := range dirs {
			h := dirHeader(fmt.Sprintf("d%d/", i), 0o755, 0)
			h.PAXRecords = map[string]string{"LBUILD.comment": strings.Repeat("x", 1_000_000)}
			errs = append(errs, w.WriteHeader(&h))
		}
		after = heap()
		pw.CloseWithError(errors.Join(append(errs, w.Close())...))
	}()
	if err := newUntar(t.TempDir(), false, "trusted.overlay.opaque").run(t.Context(), pr); err != nil {
		t.Fatal(err)
	}
	if after > before+most {
		t.Errorf("%d MB are kept", (after-before)>>20)
	}
}
