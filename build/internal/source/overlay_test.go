package source

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// mountOverlay mounts a lower tree with an empty upper directory for the length of the test.
func mountOverlay(t *testing.T, lower string) string {
	t.Helper()
	requireRoot(t)
	dir := t.TempDir()
	for _, name := range []string{"upper", "work", "mnt"} {
		must(t, os.Mkdir(filepath.Join(dir, name), 0o755))
	}
	at := filepath.Join(dir, "mnt")
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s/upper,workdir=%s/work", lower, dir, dir)
	if err := unix.Mount("overlay", at, "overlay", 0, options); err != nil {
		if os.Getenv("LBUILD_TEST_STRICT") == "1" {
			t.Fatalf("no overlay: %v", err)
		}
		t.Skipf("no overlay: %v", err)
	}
	t.Cleanup(func() { must(t, unix.Unmount(at, unix.MNT_DETACH)) })
	return at
}

func TestCopyFromAndIntoOverlay(t *testing.T) {
	from := mountOverlay(t, makeTree(t, lines(`d/f "lower" user.a=1`, `d/g "2"`, `d/h = d/g`, `d/s/ 700 @30`)))
	addTree(t, from, lines(`d/f "upper" 600 4:5`, `d/n "new"`, `d/link -> f`))
	into := mountOverlay(t, makeTree(t, lines(`usr/bin/`, `bin -> usr/bin`, `app/ 750 8:8`, `app/f "old"`, `app/s/x "kept"`)))
	tree := openTree(t, from, Options{})
	sel := selectAll(t, tree, "d")
	_, err := sel.Digest(t.Context())
	must(t, err)
	must(t, Copy(t.Context(), into, sel, "/app", CopyOptions{}))
	must(t, Copy(t.Context(), into, selectAll(t, tree, "d/f"), "/bin/f", CopyOptions{}))
	checkTree(t, into, lines(
		`app/ 750 8:8`, `app/f "upper" 600 4:5 user.a=1`, `app/g "2"`, `app/h = app/g`, `app/link -> f`, `app/n "new"`, `app/s/ 700 @30`, `app/s/x "kept"`,
		`bin -> usr/bin`, `usr/`, `usr/bin/`, `usr/bin/f "upper" 600 4:5 user.a=1`,
	))
}

func TestDigestOfOverlayIsThatOfItsContent(t *testing.T) {
	flat := makeTree(t, lines(`d/f "1"`, `d/g "2"`, `d/h = d/g`))
	layered := mountOverlay(t, makeTree(t, lines(`d/g "2"`, `d/h = d/g`, `d/gone "3"`)))
	addTree(t, layered, `d/f "1"`)
	must(t, os.Remove(filepath.Join(layered, "d/gone")))
	if got, want := digestOf(t, layered, Options{}, "d"), digestOf(t, flat, Options{}, "d"); got != want {
		t.Errorf("digest %s, of the same files in one directory %s", got, want)
	}
}
