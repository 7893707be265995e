package difftest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Input is a finished step: the directories of an overlay mount that nobody writes to any more.
type Input struct {
	// Lower are the lower directories, topmost first, as in the mount option. There is at least one.
	Lower []string
	// Upper is the upper directory.
	Upper string
	// Merged is where the overlay is mounted.
	Merged string
	// UserXattr says that overlay's marks are attributes whose names begin with user.overlay and not trusted.overlay.
	UserXattr bool
	// MountOptions are the options of the mount, without its directories.
	MountOptions []string
}

// Differ writes the layer of a step as an uncompressed tar. A nil error says that the layer is whole. It must not change
// the directories, and has to end soon after its context.
type Differ func(ctx context.Context, in Input, w io.Writer) error

// Options say how a differ is tried. The zero value tries every row on the default mount.
type Options struct {
	// Rows are the IDs of the rows to try. Default: all.
	Rows []string
	// Mounts are the kinds of mounts to try the rows on. A trial that needs a mount of its own, and those that take
	// long, run on the first kind that allows it. Default: the zero Mount.
	Mounts []Mount
	// Exact demands the very entries and bytes that lbuild writes.
	Exact bool
	// Dir is where everything is made, on a file system that can be overlayfs's upper one. Default: os.TempDir.
	Dir string
	// Limit is how long one call of the differ may take. Default: one minute.
	Limit time.Duration
}

// Row is one demand on differs.
type Row struct {
	// ID is the number of the row, "1" to "22" and "14b". It stays when rows are added.
	ID string
	// Title says what a step does and what the layer holds then.
	Title string
	// Why says in one sentence what a user loses where the row fails.
	Why string
}

// Result is how a differ did in one row.
type Result struct {
	Row Row
	// Pass is set if no trial of the row failed, and at least one ran.
	Pass bool
	// Reason says which trial failed and how: the entry, what it is, and what was wanted.
	Reason string
	// Trials is the number of trials that ran, Failed of those that failed.
	Trials, Failed int
	// Skipped says what the machine lacks, if no trial could run.
	Skipped string
}

// Matrix is how a differ did in all rows.
type Matrix struct {
	// Kernel is the release of the running kernel.
	Kernel string
	// Results are in the order of Rows.
	Results []Result
}

// Rows returns the rows of the suite, in order.
func Rows() []Row {
	all := make([]Row, len(suite))
	for i, s := range suite {
		all[i] = s.Row
	}
	return all
}

// Run tries a differ. A differ that fails, panics or hangs fails the row; the error is only for what keeps the suite
// itself from running, such as an ended context or a directory that cannot be written to.
func Run(ctx context.Context, d Differ, opts Options) (m Matrix, err error) {
	r, err := newRunner(d, opts)
	if err != nil {
		return Matrix{}, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	m.Kernel = kernel()
	for _, s := range suite {
		if !r.wants(s.ID) {
			continue
		}
		result, err := r.row(ctx, s)
		if err != nil {
			return m, err
		}
		m.Results = append(m.Results, result)
	}
	return m, nil
}

// Test is Run as a test with a subtest for each row, for the authors of differs. Rows that cannot run are skipped.
func Test(t *testing.T, d Differ, opts Options) {
	t.Helper()
	r, err := newRunner(d, opts)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.close(); err != nil {
			t.Error(err)
		}
	}()
	for _, s := range suite {
		if !r.wants(s.ID) {
			continue
		}
		t.Run(s.ID+" "+s.Title, func(t *testing.T) {
			result, err := r.row(t.Context(), s)
			switch {
			case err != nil:
				t.Fatal(err)
			case result.Skipped != "":
				t.Skip(result.Skipped)
			case !result.Pass:
				t.Error(result.Reason)
			}
		})
	}
}

// runner tries one differ.
type runner struct {
	differ Differ
	opts   Options
	base   string
	places []place
}

func newRunner(d Differ, opts Options) (*runner, error) {
	if len(opts.Mounts) == 0 {
		opts.Mounts = []Mount{{}}
	}
	if opts.Limit == 0 {
		opts.Limit = time.Minute
	}
	for _, id := range opts.Rows {
		if !slices.ContainsFunc(suite, func(r row) bool { return r.ID == id }) {
			return nil, fmt.Errorf("row %q: the suite has none of this name", id)
		}
	}
	base, err := os.MkdirTemp(opts.Dir, "difftest")
	if err != nil {
		return nil, err
	}
	r := &runner{differ: d, opts: opts, base: base}
	for i, m := range opts.Mounts {
		p, err := newPlace(base, i, m)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("mount %s: %w", m, err), r.close())
		}
		r.places = append(r.places, p)
	}
	return r, nil
}

// close removes all that was made.
func (r *runner) close() error {
	var errs []error
	for _, p := range r.places {
		errs = append(errs, p.close())
	}
	return errors.Join(append(errs, os.RemoveAll(r.base))...)
}

func (r *runner) wants(id string) bool {
	return len(r.opts.Rows) == 0 || slices.Contains(r.opts.Rows, id)
}

// row runs all trials of a row on all mounts.
func (r *runner) row(ctx context.Context, s row) (Result, error) {
	result := Result{Row: s.Row}
	var skipped []string
	for i, p := range r.places {
		for _, t := range s.trials {
			if err := ctx.Err(); err != nil {
				return result, err
			}
			if t.beyond && !r.opts.Exact || i > 0 && (t.once() || !p.allows(t)) {
				continue
			}
			failure, skip := r.try(ctx, p, t)
			if skip != "" {
				skipped = append(skipped, skip)
				continue
			}
			result.Trials++
			if failure == "" {
				continue
			}
			if result.Failed++; result.Reason == "" {
				result.Reason = r.where(p, t) + failure
			}
		}
	}
	result.Pass = result.Failed == 0 && result.Trials > 0
	if result.Trials == 0 {
		result.Skipped = strings.Join(slices.Compact(skipped), "; ")
	}
	return result, nil
}

// where names a trial, and the mount if there are several.
func (r *runner) where(p place, t trial) string {
	if len(r.places) == 1 {
		return t.name + ": "
	}
	return fmt.Sprintf("%s, on %s: ", t.name, p.mount)
}

func kernel() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Release[:])
}
