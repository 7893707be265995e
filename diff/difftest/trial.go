package difftest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/lbuild/lbuild/diff/internal/treetest"
)

// row is a Row with its trials.
type row struct {
	Row
	trials []trial
}

// trial is one step on one mount, and what must come of it.
type trial struct {
	name string
	// lower are trees as treetest has them, topmost first. Default: one that is empty.
	lower []string
	// prepare is a shell script that runs in the topmost of them before it is mounted.
	prepare string
	// mount are options that the trial is about.
	mount []string
	// step is a shell script that runs in the mount, then and make are what a shell cannot do.
	step string
	then func(o *treetest.Overlay) error
	// meddle runs once when meddleAt bytes of the layer have been written.
	meddle func(o *treetest.Overlay) error

	// refused is a path that the differ must name in an error. If mayRefuse, a right layer is as good.
	refused   string
	mayRefuse bool
	// checks are demands on the layer, beyond giving the right tree.
	checks []check
	// noTree says why the tree is not compared: containerd's unpacker, or the suite itself, cannot do it.
	noTree string
	// want are the entries that lbuild writes, as treetest prints them; nothing stands for none. Default: not compared.
	want string
	// beyond trials ask more than their row does: they are for lbuild's own layers, with Options.Exact.
	beyond bool
	// ownDevices gives each lower directory, and the upper one, a file system of its own.
	ownDevices bool
	// brokenDisk has the upper directory on a disk of which the second half cannot be read after the step.
	brokenDisk bool
	// big layers are read as they come and never kept.
	big bool
	// headers says that the call is ended at the first file of a gibibyte or more, and judged by what came before.
	headers bool
	// trusted trials need the machine's own user namespace: devices, or attributes that only its root can set.
	trusted bool
}

const nothing = "nothing"

// once reports whether a trial says nothing new on a second kind of mount.
func (t trial) once() bool { return t.big || t.ownDevices || t.brokenDisk }

// try runs a trial and returns how it failed, or what it lacks.
func (r *runner) try(ctx context.Context, p place, t trial) (failure, skipped string) {
	return run(ctx, p.dir, func(a *attempt) {
		if !p.allows(t) {
			a.Skip("no mount of this kind can do it")
		}
		if t.trusted && !hasDevices(a.dir) {
			a.Skip("needs root outside of user namespaces")
		}
		if _, err := exec.LookPath("setfattr"); err != nil && strings.Contains(t.step, "setfattr") {
			a.Skip("needs the program setfattr")
		}
		o := p.overlay(a, t)
		l := r.layer(a, p, t, o)
		if failure := t.judgeError(l.err); failure != "" || l.err != nil {
			a.Fatal(failure)
		}
		r.judge(a, p, t, o, l)
	})
}

// overlay makes a mount and does the step.
func (p place) overlay(a *attempt, t trial) *treetest.Overlay {
	trees := t.lower
	if len(trees) == 0 {
		trees = []string{""}
	}
	a.ownDevices = t.ownDevices
	lower := treetest.Lower(a, trees...)
	if t.prepare != "" {
		(&treetest.Overlay{Merged: lower[0]}).Sh(a, t.prepare)
	}
	dir, image := a.TempDir(), ""
	if t.brokenDisk {
		image = a.mountDisk(dir)
	}
	o := treetest.Mount(a, p.deepen(lower), treetest.Options{Dir: dir, Mount: p.options(t)})
	o.Sh(a, t.step)
	if t.brokenDisk {
		a.breakDisk(image, filepath.Join(o.Upper, "broken"))
	}
	if t.then != nil {
		if err := t.then(o); err != nil {
			a.Fatalf("the step itself: %v", err)
		}
	}
	return o
}

func (p place) mountOn(a *attempt, lower, opts []string) *treetest.Overlay {
	return treetest.Mount(a, lower, treetest.Options{Dir: a.TempDir(), Mount: opts})
}

// judgeError compares how the call ended with how it should.
func (t trial) judgeError(err error) string {
	switch {
	case err == nil && (t.refused == "" || t.mayRefuse):
		return ""
	case err == nil:
		return fmt.Sprintf("no error, where one about %q was due", t.refused)
	case t.refused == "":
		return "error: " + short(err.Error())
	case !strings.Contains(err.Error(), t.refused):
		return fmt.Sprintf("the error does not name %q: %s", t.refused, short(err.Error()))
	}
	return ""
}

// judge looks at a layer that was written without an error.
func (r *runner) judge(a *attempt, p place, t trial, o *treetest.Overlay, l *layer) {
	for _, check := range t.checks {
		if err := check(l); err != nil {
			a.Fatal(err)
		}
	}
	if t.noTree == "" && !t.big {
		second := p.mountOn(a, o.Lower, p.plain())
		l.unpack(a, second.Merged)
		if d := difference(shown(a, o), treetest.Dir(a, second.Merged)); d != "" {
			a.Fatal(d)
		}
	}
	if r.opts.Exact && !t.big {
		r.judgeExactly(a, p, t, o, l)
	}
}

// shown prints the tree of a mount. In a user namespace the kernel gives names of one file different numbers until it
// has looked them up anew; there the upper directory tells.
func shown(a *attempt, o *treetest.Overlay) string {
	if hasDevices(a.dir) {
		return treetest.Dir(a, o.Merged)
	}
	return o.Look(a).String()
}

// plain are the options of a mount to unpack on: whoever pulls an image has only its layers.
func (p place) plain() []string {
	if p.mount.UserXattr {
		return []string{"userxattr"}
	}
	return nil
}

// judgeExactly compares entries and bytes.
func (r *runner) judgeExactly(a *attempt, p place, t trial, o *treetest.Overlay, l *layer) {
	if t.want != "" {
		got := treetest.Tar(a, bytes.NewReader(l.tar))
		want := treetest.Text(strings.TrimPrefix(t.want, nothing))
		if got != want {
			a.Fatalf("the entries are\n%s\nand not\n%s", got, want)
		}
	}
	if again := r.layer(a, p, t, o); t.meddle == nil && !bytes.Equal(again.tar, l.tar) {
		a.Fatal("the second layer has other bytes than the first")
	}
}

// hasDevices reports whether devices can be made, which only the root of the machine's own user namespace can.
func hasDevices(dir string) bool {
	path := filepath.Join(dir, "null")
	if err := mknod(path, charDevice, 1, 3); err != nil {
		return false
	}
	return os.Remove(path) == nil
}

// short cuts an error that has a long path in it. The path is cut by its names first: how long it is in all depends on
// where the mount is.
func short(s string) string {
	const (
		longest = 300
		twice   = longName + "/" + longName
	)
	s = strings.TrimSpace(strings.ReplaceAll(s, "\n", "; "))
	for strings.Contains(s, twice) {
		s = strings.ReplaceAll(s, twice, longName)
	}
	if len(s) > longest {
		s = s[:longest/2] + "…" + s[len(s)-longest/2:]
	}
	return s
}
