package source

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestCopyReplacesWhatIsInTheWay(t *testing.T) {
	requireRoot(t)
	outside := makeTree(t, `f "outside"`)
	from := openTree(t, makeTree(t, lines(
		`both/ 750 3:4 @40`, `both/f "new" 4755 1:2 user.a=1 @50`, `file "new"`, `hard = both/f`, `link -> file`,
		`linked/`, `linked/f "new"`, `pipe |`, `was-dir "new"`, `was-dir-too -> x`, `was-file/`, `was-file/f "new"`,
	)), Options{})
	dest := makeTree(t, lines(
		`both/f "old and long"`, `both/kept "old"`, `file -> `+outside+`/f`, `link -> other`,
		`linked -> `+outside, `pipe/a/b "old"`, `was-dir/f/g "old"`, `was-dir-too/f "old"`, `was-file "old"`,
	))
	must(t, os.Chmod(dest, 0o700))
	for range 2 { // what is there from the first time is no obstacle
		must(t, Copy(t.Context(), dest, selectAll(t, from, "."), ".", CopyOptions{Replace: true}))
		checkTree(t, dest, lines(
			`both/ 750 3:4 @40`, `both/f "new" 4755 1:2 @50 user.a=1`, `both/kept "old"`, `file "new"`, `hard = both/f`, `link -> file`,
			`linked/`, `linked/f "new"`, `pipe |`, `was-dir "new"`, `was-dir-too -> x`, `was-file/`, `was-file/f "new"`,
		))
	}
	checkTree(t, outside, `f "outside"`)
	if info, err := os.Stat(dest); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode of dest: %v, %v", info.Mode(), err)
	}
}

// A command in a container can make such paths, by going down step by step.
func TestCopyTakesPathsThatAreTooLong(t *testing.T) {
	dir, dest := t.TempDir(), t.TempDir()
	makeFar(t, dir, 3*unix.PathMax)
	sel := selectAll(t, openTree(t, dir, Options{}), ".")
	must(t, Copy(t.Context(), dest, sel, ".", CopyOptions{}))
	want, err := sel.Digest(t.Context())
	must(t, err)
	got, err := selectAll(t, openTree(t, dest, Options{}), ".").Digest(t.Context())
	must(t, err)
	if got != want {
		t.Errorf("got a tree with digest %s, want %s", got, want)
	}
}

// makeFar makes a file, a link and a hard link to the file below directories whose names add up to length.
func makeFar(tb testing.TB, dir string, length int) {
	tb.Helper()
	at, err := os.OpenRoot(dir)
	must(tb, err)
	name := strings.Repeat("d", 200)
	for range length / len(name) {
		must(tb, at.Mkdir(name, 0o755))
		below, err := at.OpenRoot(name)
		must(tb, err)
		must(tb, at.Close())
		at = below
	}
	must(tb, at.WriteFile("f", []byte("far"), 0o644))
	must(tb, at.Link("f", "g"))
	must(tb, at.Symlink(filepath.Join("..", "f"), "l"))
	must(tb, at.Close())
}
