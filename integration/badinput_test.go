package integration

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

var updateGolden = flag.Bool("update", false, "write what was printed into the golden files")

// wanted is the section of a golden file that holds the exit status and stderr.
const wanted = "want"

// badInput is a build that must fail, read from testdata/badinput/NAME.txtar: words for the command line, the files,
// and what is printed.
type badInput struct {
	file    string
	archive *txtar.Archive
	flags   []string
	context string   // default "context"
	stdin   string   // name of a file
	layout  string   // key of damages: the image "damaged"
	links   []string // NAME TARGET
}

// TestBadInputIsAClearErrorAndLeavesNothing runs every file of testdata/badinput.
func TestBadInputIsAClearErrorAndLeavesNothing(t *testing.T) {
	files, err := filepath.Glob("testdata/badinput/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no golden files", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			c := l.readBadInput(file)
			got := l.runBadInput(c)
			c.compare(t, got)
			l.checkNothingLeft()
		})
	}
}

func (l *lab) readBadInput(file string) badInput {
	l.Helper()
	archive, err := txtar.ParseFile(file)
	if err != nil {
		l.Fatal(err)
	}
	c := badInput{file: file, archive: archive, context: "context"}
	for line := range strings.Lines(string(archive.Comment)) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if !ok || strings.HasPrefix(key, "#") {
			continue
		}
		switch key {
		case "flags":
			c.flags = strings.Fields(value)
		case "context":
			c.context = value
		case "stdin":
			c.stdin = value
		case "layout":
			c.layout = value
		case "link":
			c.links = append(c.links, value)
		default:
			l.Fatalf("%s: unknown key %q", file, key)
		}
	}
	return c
}

// runBadInput runs a build that asks for every kind of output, and returns status and stderr.
func (l *lab) runBadInput(c badInput) string {
	l.Helper()
	input := &txtar.Archive{Files: c.archive.Files}
	if last := len(input.Files) - 1; last >= 0 && input.Files[last].Name == wanted {
		input.Files = input.Files[:last]
	}
	l.write(l.dir, string(txtar.Format(input)))
	for _, link := range c.links {
		name, target, _ := strings.Cut(link, " ")
		if err := os.Symlink(strings.ReplaceAll(target, "$WORK", l.dir), filepath.Join(l.dir, name)); err != nil {
			l.Fatal(err)
		}
	}
	args := []string{
		"--root", l.root, "build", "-q", "--build-context", "base=oci-layout://" + programs.base,
		"-t", "left:1", "-o", "type=image", "-o", "type=oci,dest=out.oci", "-o", "type=docker,dest=out.docker", "-o", "out.files",
		"--iidfile", "out.id", "--metadata-file", "out.json",
	}
	if c.layout != "" {
		l.makeLayout(filepath.Join(l.dir, "damaged"), damages[c.layout])
		args = append(args, "--build-context", "damaged=oci-layout://damaged")
	}
	var stdin io.Reader
	if c.stdin != "" {
		data, err := os.ReadFile(filepath.Join(l.dir, c.stdin))
		if err != nil {
			l.Fatal(err)
		}
		stdin = bytes.NewReader(data)
	}
	started := time.Now()
	r := l.feed(stdin, programs.lbuild, append(append(args, c.flags...), c.context)...)
	if took := time.Since(started); took > time.Minute {
		l.Errorf("took %s", took)
	}
	if r.stdout != "" {
		l.Errorf("stdout is not clean: %q", r.stdout)
	}
	return fmt.Sprintf("status %d\n%s", r.code, l.steady(r.stderr))
}

// compare checks what was printed against the golden file, or writes it there.
func (c badInput) compare(t *testing.T, got string) {
	t.Helper()
	want := ""
	for i, f := range c.archive.Files {
		if f.Name == wanted {
			want = string(f.Data)
			c.archive.Files = c.archive.Files[:i]
			break
		}
	}
	if *updateGolden {
		c.archive.Files = append(c.archive.Files, txtar.File{Name: wanted, Data: []byte(got)})
		if err := os.WriteFile(c.file, txtar.Format(c.archive), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("printed (-want +got):\n%s", diff)
	}
}

var (
	anyDigest = regexp.MustCompile(`sha256:[0-9a-f]{64}`)
	anyLease  = regexp.MustCompile(`/leases/[a-z0-9]{26}/`)
)

// steady replaces what is another in every run.
func (l *lab) steady(text string) string {
	text = strings.NewReplacer(l.dir, "$WORK", programs.base, "$BASE").Replace(text)
	text = anyLease.ReplaceAllString(text, "/leases/…/")
	return anyDigest.ReplaceAllString(text, "sha256:…")
}

// feed is exec with something on stdin.
func (l *lab) feed(stdin io.Reader, name string, args ...string) result {
	l.Helper()
	if stdin == nil {
		return l.exec(name, args...)
	}
	cmd := exec.CommandContext(l.Context(), name, args...)
	cmd.Dir, cmd.Env, cmd.Stdin = l.dir, append(os.Environ(), l.env...), stdin
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); cmd.ProcessState == nil {
		l.Fatalf("%s: %v", name, err)
	}
	return result{stdout: out.String(), stderr: errs.String(), code: cmd.ProcessState.ExitCode()}
}

// checkNothingLeft fails the test when a failed build left a mount, a lease, half a blob, a name or an output, or in the
// store something that a prune does not take away.
func (l *lab) checkNothingLeft() {
	l.Helper()
	l.checkIdle()
	if names := l.must(programs.lbuild, "--root", l.root, "images", "-q"); names != "" {
		l.Errorf("left names of images: %s", names)
	}
	l.checkEmpty("out.*", ".lbuild-*", "*/.lbuild-*")
	l.must(programs.lbuild, "--root", l.root, "prune", "--all")
	l.checkEmpty("root/snapshots/snapshots/*", "root/content/blobs/*/*")
}

// checkIdle fails the test when no process uses the store and yet something looks as if one did.
func (l *lab) checkIdle() {
	l.Helper()
	for _, dir := range l.mounts() {
		l.Errorf("left mounted: %s", dir)
	}
	l.checkEmpty("root/leases/*", "root/content/ingest/*", "root/trash/*", "root/snapshots/snapshots/new-*")
}

func (l *lab) checkEmpty(patterns ...string) {
	l.Helper()
	for _, pattern := range patterns {
		found, err := filepath.Glob(filepath.Join(l.dir, pattern))
		if err != nil {
			l.Fatal(err)
		}
		for _, name := range found {
			l.Errorf("left behind: %s", strings.TrimPrefix(name, l.dir+"/"))
		}
	}
}
