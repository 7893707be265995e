package difftest_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/lbuild/lbuild/diff"
	"github.com/lbuild/lbuild/diff/compress"
	"github.com/lbuild/lbuild/diff/difftest"
	"github.com/lbuild/lbuild/diff/internal/treetest"
	"github.com/lbuild/lbuild/diff/layer"
)

// lbuild is lbuild's own differ.
func lbuild(ctx context.Context, in difftest.Input, w io.Writer) error {
	changes := diff.Upper(ctx, diff.UpperOptions{Upper: in.Upper, Lower: in.Lower, UserXattr: in.UserXattr})
	_, err := layer.Write(ctx, w, changes, layer.Options{Compression: compress.Compression{Name: compress.None}})
	return err
}

func Example() {
	m, err := difftest.Run(context.Background(), lbuild, difftest.Options{Rows: []string{"1", "15"}})
	if err != nil {
		panic(err)
	}
	for _, r := range m.Results {
		fmt.Printf("%s %s: %t\n", r.Row.ID, r.Row.Title, r.Pass)
	}
}

// TestLbuildPassesEveryRowOnEveryMount is the table test of lbuild's differ: all rows, on all kinds of mounts, to the
// last entry. With the race detector it is one kind.
func TestLbuildPassesEveryRowOnEveryMount(t *testing.T) {
	treetest.NeedRoot(t)
	difftest.Test(t, lbuild, difftest.Options{Exact: true, Mounts: mounts()})
}

// inNamespace is set in the environment of a test that runs itself again in a user namespace.
const inNamespace = "LBUILD_TEST_IN_NAMESPACE"

func TestLbuildPassesEveryRowInAUserNamespace(t *testing.T) {
	if os.Getenv(inNamespace) != "" {
		difftest.Test(t, lbuild, difftest.Options{Exact: true, Mounts: userMounts()})
		return
	}
	treetest.NeedRoot(t)
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), inNamespace+"=1")
	identity := []syscall.SysProcIDMap{{Size: math.MaxUint32}}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS, UidMappings: identity, GidMappings: identity,
		GidMappingsEnableSetgroups: true,
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if passed := bytes.Count(out, []byte("--- PASS")); passed < 2 {
		t.Errorf("%d tests passed in the namespace:\n%s", passed, out)
	}
}

// only runs a few rows and returns their results.
func only(t *testing.T, d difftest.Differ, opts difftest.Options, rows ...string) []difftest.Result {
	t.Helper()
	treetest.NeedRoot(t)
	opts.Rows, opts.Dir = rows, t.TempDir()
	m, err := difftest.Run(t.Context(), d, opts)
	if err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(opts.Dir); err != nil || len(left) > 0 {
		t.Errorf("the suite leaves %v behind: %v", left, err)
	}
	return m.Results
}

// spoiled is lbuild's differ with every header changed, or left out with what it describes if the function says no.
func spoiled(change func(*tar.Header) bool) difftest.Differ {
	return func(ctx context.Context, in difftest.Input, w io.Writer) error {
		r, pipe := io.Pipe()
		ended := make(chan error)
		go func() {
			err := spoil(w, r, change)
			ended <- errors.Join(err, r.CloseWithError(err))
		}()
		err := lbuild(ctx, in, pipe)
		return errors.Join(err, pipe.CloseWithError(err), <-ended)
	}
}

func spoil(w io.Writer, r io.Reader, change func(*tar.Header) bool) error {
	tw := tar.NewWriter(w)
	for tr := tar.NewReader(r); ; {
		hdr, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return tw.Close()
		}
		if err != nil {
			return err
		}
		hdr.Format = tar.FormatUnknown
		if !change(hdr) {
			continue
		}
		err = tw.WriteHeader(hdr)
		if err == nil && hdr.Typeflag == tar.TypeReg {
			_, err = io.Copy(tw, tr)
		}
		if err != nil {
			return err
		}
	}
}

// TestRunFailsWrongDiffers spoils right layers, each in one way, and expects the rows that are about it to fail.
func TestRunFailsWrongDiffers(t *testing.T) {
	whiteout := func(h *tar.Header) bool { return strings.HasPrefix(path.Base(h.Name), ".wh.") }
	for _, c := range []struct {
		name   string
		change func(*tar.Header) bool
		fails  []string
		passes []string
	}{
		{"nothing", func(*tar.Header) bool { return true }, nil, strings.Fields("1 2 3 4 7 8 9 10 11 13 14 19 20")},
		{"stamps deletions", func(h *tar.Header) bool {
			if whiteout(h) {
				h.ModTime = time.Unix(5, 0)
			}
			return true
		}, []string{"1"}, []string{"2"}},
		{"forgets deletions", func(h *tar.Header) bool { return !whiteout(h) }, []string{"1", "2", "3", "14"}, []string{"4"}},
		{"forgets directories", func(h *tar.Header) bool { return h.Typeflag != tar.TypeDir }, []string{"7", "9", "13", "14"}, []string{"6"}},
		{"forgets attributes", func(h *tar.Header) bool {
			h.PAXRecords, h.Xattrs = nil, nil //nolint:staticcheck // the reader fills both
			return true
		}, []string{"7", "8"}, []string{"1"}},
		{"forgets the root", func(h *tar.Header) bool { return h.Name != "./" }, []string{"9"}, []string{"13"}},
		{"forgets links", func(h *tar.Header) bool { return h.Typeflag != tar.TypeLink }, []string{"10", "11", "14"}, []string{"12"}},
		{"cuts owners", func(h *tar.Header) bool {
			h.Uid %= 1 << 21
			return true
		}, []string{"19"}, []string{"13"}},
		{"rounds modes", func(h *tar.Header) bool {
			h.Mode &= 0o777
			return true
		}, []string{"11", "13", "19"}, []string{"10"}},
		{"tells names", func(h *tar.Header) bool {
			h.Uname = "root"
			return true
		}, []string{"20"}, []string{"13"}},
		{"tells access times", func(h *tar.Header) bool {
			h.Format, h.AccessTime = tar.FormatPAX, time.Unix(1_700_000_000, 0)
			return true
		}, []string{"20"}, []string{"13"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var failed []string
			for _, r := range only(t, spoiled(c.change), difftest.Options{}, append(c.fails, c.passes...)...) {
				if !r.Pass {
					failed = append(failed, r.Row.ID)
				}
				if r.Pass != (r.Reason == "") {
					t.Errorf("row %s passes: %t, because %q", r.Row.ID, r.Pass, r.Reason)
				}
			}
			if d := cmp.Diff(c.fails, failed); d != "" {
				t.Errorf("rows that fail (-want +got):\n%s", d)
			}
		})
	}
}

func TestRunFailsDiffersThatMisbehave(t *testing.T) {
	for _, c := range []struct {
		name   string
		differ difftest.Differ
		reason string
	}{
		{"panics", func(context.Context, difftest.Input, io.Writer) error { panic("at the disco") }, "panic: at the disco"},
		{"fails", func(context.Context, difftest.Input, io.Writer) error { return errors.New("no idea") }, "error: no idea"},
		{"writes nothing", func(context.Context, difftest.Input, io.Writer) error { return nil }, "0 entries .wh.f"},
		{"writes no tar", func(_ context.Context, _ difftest.Input, w io.Writer) error {
			_, err := io.WriteString(w, strings.Repeat("no tar", 1000))
			return err
		}, "the layer cannot be read"},
		{"hangs", func(ctx context.Context, _ difftest.Input, _ io.Writer) error {
			<-ctx.Done()
			return ctx.Err()
		}, "deadline"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := only(t, c.differ, difftest.Options{Limit: 200 * time.Millisecond}, "1")[0]
			if got.Pass || got.Failed != got.Trials || !strings.Contains(got.Reason, c.reason) {
				t.Errorf("result is %+v, want the reason %q", got, c.reason)
			}
		})
	}
}

func TestRunFailsADifferThatHidesErrors(t *testing.T) {
	silent := func(ctx context.Context, in difftest.Input, w io.Writer) error {
		if err := lbuild(ctx, in, w); err != nil {
			return tar.NewWriter(w).Close()
		}
		return nil
	}
	for _, r := range only(t, silent, difftest.Options{}, "15", "17") {
		if r.Pass {
			t.Errorf("row %s passes", r.Row.ID)
		}
	}
}

func TestRunRefusesRowsThatAreNot(t *testing.T) {
	if _, err := difftest.Run(t.Context(), lbuild, difftest.Options{Rows: []string{"23"}}); err == nil {
		t.Error("no error about row 23")
	}
}

func TestRunEndsWithTheContext(t *testing.T) {
	treetest.NeedRoot(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := difftest.Run(ctx, lbuild, difftest.Options{Dir: t.TempDir()}); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
}

func TestRowsAreNumbered(t *testing.T) {
	var ids []string
	for _, r := range difftest.Rows() {
		ids = append(ids, r.ID)
		if r.Title == "" || !strings.HasSuffix(r.Why, ".") {
			t.Errorf("row %s has the title %q and the reason %q", r.ID, r.Title, r.Why)
		}
	}
	want := strings.Fields("1 2 3 4 5 6 7 8 9 10 11 12 13 14 14b 15 16 17 18 19 20 21 22")
	if d := cmp.Diff(want, ids); d != "" {
		t.Errorf("rows (-want +got):\n%s", d)
	}
}
