package source

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// copyCase is one COPY: trees in, tree or error out.
type copyCase struct {
	name    string
	from    string // the context
	into    string // the root before
	sources string // with spaces between
	dest    string
	opts    CopyOptions
	want    string // the root after
	err     string
}

func (tt copyCase) run(t *testing.T) {
	requireRoot(t)
	tree := openTree(t, makeTree(t, tt.from), Options{})
	root := makeTree(t, tt.into)
	sel := selectAll(t, tree, strings.Fields(tt.sources)...)
	err := Copy(t.Context(), root, sel, tt.dest, tt.opts)
	checkError(t, err, nil, tt.err)
	if tt.err == "" {
		checkTree(t, root, tt.want)
	}
}

func runCopies(t *testing.T, cases []copyCase) {
	t.Helper()
	for _, tt := range cases {
		t.Run(tt.name, tt.run)
	}
}

func TestCopyPlacesFiles(t *testing.T) {
	runCopies(t, []copyCase{
		{name: "under the name of dest", from: `f "x"`, sources: "f", dest: "/g", want: `g "x"`},
		{name: "into dest with a slash", from: `f "x"`, sources: "f", dest: "/d/", want: "d/\nd/f \"x\""},
		{name: "into dest with a dot", from: `f "x"`, sources: "f", dest: "/d/.", want: "d/\nd/f \"x\""},
		{name: "into an existing directory", from: `f "x"`, into: `d/`, sources: "f", dest: "/d", want: "d/\nd/f \"x\""},
		{name: "into the root", from: `f "x"`, sources: "f", dest: "/", want: `f "x"`},
		{name: "parents are made", from: `f "x"`, sources: "f", dest: "/a/b/c", want: "a/\na/b/\na/b/c \"x\""},
		{name: "several", from: "f \"1\"\ng \"2\"", sources: "g f", dest: "/d/", want: "d/\nd/f \"1\"\nd/g \"2\""},
		{name: "several into an existing directory", from: "f \"1\"\ng \"2\"", into: "d/", sources: "f g", dest: "/d", want: "d/\nd/f \"1\"\nd/g \"2\""},
		{name: "several to one file", from: "f \"1\"\ng \"2\"", sources: "f g", dest: "/d", err: "must be a directory and end with a slash"},
		{name: "over a file", from: `f "new"`, into: `g "old" 600`, sources: "f", dest: "/g", want: `g "new"`},
		{name: "over a link in a directory", from: `f "new"`, into: "d/\nd/f -> ../g\ng \"old\"", sources: "f", dest: "/d/", want: "d/\nd/f \"new\"\ng \"old\""},
		{name: "not over a directory", from: `f "x"`, into: "d/f/", sources: "f", dest: "/d/", err: "cannot replace the directory"},
		{name: "not into a file", from: `f "x"`, into: `g "y"`, sources: "f", dest: "/g/", err: `"/g" is not a directory`},
		{name: "not below a file", from: `f "x"`, into: `g "y"`, sources: "f", dest: "/g/h/i", err: "not a directory"},
		{name: "not over a fifo that is read", from: `f "x"`, into: `g |`, sources: "f", dest: "/g", want: `g "x"`},
	})
}

func TestCopyMergesDirectories(t *testing.T) {
	tree := "d/ 700 1:1 @100\nd/f \"x\" 640 2:3 @200\nd/s/ 711 4:5 @300\nd/s/g \"y\" 4755 @400"
	runCopies(t, []copyCase{
		{
			name: "contents into a new one, which is no copy of the source", from: tree, sources: "d", dest: "/n",
			want: "n/ @100\nn/f \"x\" 640 2:3 @200\nn/s/ 711 4:5 @300\nn/s/g \"y\" 4755 @400",
		},
		{
			name: "existing top keeps owner and mode", from: tree, into: "n/ 750 7:7\nn/old \"o\"", sources: "d/.", dest: "/n",
			want: "n/ 750 7:7 @100\nn/f \"x\" 640 2:3 @200\nn/old \"o\"\nn/s/ 711 4:5 @300\nn/s/g \"y\" 4755 @400",
		},
		{
			name: "existing subdirectory takes those of the source", from: tree, into: "n/s/ 700 9:9\nn/s/old \"o\"", sources: "d", dest: "/n/",
			want: "n/ @100\nn/f \"x\" 640 2:3 @200\nn/s/ 711 4:5 @300\nn/s/g \"y\" 4755 @400\nn/s/old \"o\"",
		},
		{name: "into the root", from: tree, sources: "d/s", dest: "/", want: `g "y" 4755 @400`},
		{name: "two", from: "a/x \"1\"\na/y \"1\"\nb/y \"2\"", sources: "a b", dest: "/n", want: "n/\nn/x \"1\"\nn/y \"2\""},
		{name: "empty", from: "d/", sources: "d", dest: "/n", want: "n/"},
		{name: "all", from: "f \"x\"\ns/g \"y\"", sources: ".", dest: "/app", want: "app/\napp/f \"x\"\napp/s/\napp/s/g \"y\""},
		{name: "not over a file", from: "d/x/", into: `n/x "f"`, sources: "d", dest: "/n", err: `directory "x" cannot replace`},
		{name: "not over a link to a directory", from: "d/bin/ls \"x\"", into: "usr/bin/\nbin -> usr/bin", sources: "d", dest: "/", err: `directory "bin" cannot replace`},
		{name: "not over dest that is a file", from: "d/", into: `n "f"`, sources: "d", dest: "/n", err: `cannot go into "/n"`},
		{name: "file not over a directory", from: `d/x "f"`, into: "n/x/y/", sources: "d", dest: "/n", err: `cannot replace the directory "x"`},
	})
}

func TestCopyFollowsLinksInsideTheRoot(t *testing.T) {
	runCopies(t, []copyCase{
		{name: "parent", from: `f "x"`, into: "usr/bin/\nbin -> usr/bin", sources: "f", dest: "/bin/f", want: "bin -> usr/bin\nusr/\nusr/bin/\nusr/bin/f \"x\""},
		{name: "absolute", from: `f "x"`, into: "a/\nl -> /a", sources: "f", dest: "/l/", want: "a/\na/f \"x\"\nl -> /a"},
		{name: "to a file, which is replaced", from: `f "new"`, into: "g \"old\"\nl -> g", sources: "f", dest: "/l", want: "g \"new\"\nl -> g"},
		{name: "dangling, which is made", from: `f "x"`, into: "l -> /a/b", sources: "f", dest: "/l/", want: "a/\na/b/\na/b/f \"x\"\nl -> /a/b"},
		{name: "above the root", from: `f "x"`, into: "l -> ../../../../etc", sources: "f", dest: "/l/passwd", want: "etc/\netc/passwd \"x\"\nl -> ../../../../etc"},
		{name: "dots in dest", from: `f "x"`, into: "a/", sources: "f", dest: "/../../a/../b", want: "a/\nb \"x\""},
		{name: "chain", from: `f "x"`, into: "l -> m\nm -> /n\nn -> ../o\no/", sources: "f", dest: "/l", want: "l -> m\nm -> /n\nn -> ../o\no/\no/f \"x\""},
		{name: "loop", from: `f "x"`, into: "l -> m\nm -> l", sources: "f", dest: "/l/", err: "too many levels of symbolic links"},
	})
}

func TestCopyKeepsWhatAnEntryIs(t *testing.T) {
	runCopies(t, []copyCase{
		{name: "link", from: "d/l -> /etc/passwd @9", sources: "d", dest: "/", want: "l -> /etc/passwd @9"},
		{name: "link owner", from: "d/l -> x 5:6", sources: "d", dest: "/", want: "l -> x 5:6"},
		{name: "fifo", from: "d/p | 600 1:2 @9", sources: "d", dest: "/", want: "p | 600 1:2 @9"},
		{name: "devices", from: "d/c c1:3 666\nd/l b7:0 660 0:6", sources: "d", dest: "/", want: "c c1:3 666\nl b7:0 660 0:6"},
		{name: "socket as an empty file", from: "d/s $ 600", sources: "d", dest: "/", want: `s "" 600`},
		{name: "fifo named", from: "p |", sources: "p", dest: "/q", want: "q |"},
		{name: "hard links", from: "d/a \"x\"\nd/b = d/a\nd/s/c = d/a", sources: "d", dest: "/", want: "a \"x\"\nb = a\ns/\ns/c = a"},
		{name: "hard link over a file", from: "d/a \"x\"\nd/b = d/a", into: `b "old"`, sources: "d", dest: "/", want: "a \"x\"\nb = a"},
		{name: "one of two hard links", from: "a \"x\"\nb = a", sources: "a", dest: "/", want: `a "x"`},
		{name: "attributes", from: "d/f \"x\" user.a=1 user.b=2\nd/s/ user.c=3", sources: "d", dest: "/", want: "f \"x\" user.a=1 user.b=2\ns/ user.c=3"},
		{name: "special modes", from: "d/f \"x\" 6755 3:3\nd/s/ 3777 3:3", sources: "d", dest: "/", want: "f \"x\" 6755 3:3\ns/ 3777 3:3"},
		{name: "no permissions", from: "d/f \"x\" 0\nd/s/ 0", sources: "d", dest: "/", want: "f \"x\" 0\ns/ 0"},
	})
}

func TestCopyChangesOwnerAndMode(t *testing.T) {
	tree := "d/f \"x\" 6644 9:9\nd/l -> f\nd/s/ 700\nd/s/g \"y\" 755"
	owner := &Owner{UID: 7, GID: 8}
	runCopies(t, []copyCase{
		{
			name: "owner, of parents too", from: tree, sources: "d", dest: "/a/b", opts: CopyOptions{Owner: owner},
			want: "a/ 7:8\na/b/ 7:8\na/b/f \"x\" 6644 7:8\na/b/l -> f 7:8\na/b/s/ 700 7:8\na/b/s/g \"y\" 755 7:8",
		},
		{
			name: "octal, for directories too, and not for links", from: tree, sources: "d", dest: "/a", opts: CopyOptions{Mode: "0750"},
			want: "a/ 750\na/f \"x\" 750 9:9\na/l -> f\na/s/ 750\na/s/g \"y\" 750",
		},
		{
			name: "symbolic", from: tree, sources: "d", dest: "/a", opts: CopyOptions{Mode: "go=,u+X"},
			want: "a/\na/f \"x\" 4600 9:9\na/l -> f\na/s/ 700\na/s/g \"y\" 700",
		},
		{name: "none at all", from: `f "x"`, sources: "f", dest: "/g", opts: CopyOptions{Mode: "0"}, want: `g "x" 0`},
		{name: "setuid", from: `f "x"`, sources: "f", dest: "/g", opts: CopyOptions{Mode: "4755", Owner: owner}, want: `g "x" 4755 7:8`},
		{name: "too large", from: `f "x"`, sources: "f", dest: "/g", opts: CopyOptions{Mode: "17777"}, err: `invalid mode "17777"`},
		{name: "no mode", from: `f "x"`, sources: "f", dest: "/g", opts: CopyOptions{Mode: "rwx"}, err: `invalid mode "rwx"`},
		{name: "not octal", from: `f "x"`, sources: "f", dest: "/g", opts: CopyOptions{Mode: "789"}, err: `invalid mode "789"`},
	})
}

func TestCopyCountsContextAsOwnedByRoot(t *testing.T) {
	requireRoot(t)
	tree := openTree(t, makeTree(t, "d/f \"x\" 5:5\nd/l -> f 5:5\nd/s/ 5:5\ng \"y\" 5:5"), Options{RootOwned: true})
	root := makeTree(t, "")
	must(t, Copy(t.Context(), root, selectAll(t, tree, "d", "g"), "/", CopyOptions{}))
	checkTree(t, root, "f \"x\"\ng \"y\"\nl -> f\ns/")
}

func TestCopyKeepsCapabilityAndACL(t *testing.T) {
	requireRoot(t)
	dir := makeTree(t, `f "x"`)
	capability := "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	acl := "\x02\x00\x00\x00\x01\x00\x06\x00\xff\xff\xff\xff\x02\x00\x04\x00\x05\x00\x00\x00\x04\x00\x04\x00\xff\xff\xff\xff" +
		"\x10\x00\x04\x00\xff\xff\xff\xff\x20\x00\x00\x00\xff\xff\xff\xff"
	must(t, unix.Setxattr(filepath.Join(dir, "f"), "security.capability", []byte(capability), 0))
	must(t, unix.Setxattr(filepath.Join(dir, "f"), "system.posix_acl_access", []byte(acl), 0))
	root := makeTree(t, "")
	sel := selectAll(t, openTree(t, dir, Options{}), "f")
	must(t, Copy(t.Context(), root, sel, "/", CopyOptions{Owner: &Owner{UID: 5, GID: 5}}))
	checkTree(t, root, `f "x" 640 5:5 security.capability=`+capability+` system.posix_acl_access=`+acl)
}

func TestCopyPutsDocumentsAmongFiles(t *testing.T) {
	requireRoot(t)
	tree := openTree(t, makeTree(t, `f "x"`), Options{})
	sel := selectAll(t, tree, "f")
	sel.Append(Inline([]File{{Name: "EOF", Data: []byte("doc\n")}, {Name: "f", Data: []byte("over")}}))
	root := makeTree(t, "")
	must(t, Copy(t.Context(), root, sel, "/d/", CopyOptions{Owner: &Owner{UID: 1, GID: 2}}))
	checkTree(t, root, "d/ 1:2\nd/EOF \"doc\\n\" 1:2\nd/f \"over\" 1:2")
}

func TestCopyRefusesFileThatChanged(t *testing.T) {
	dir := makeTree(t, "d/f \"one\"")
	sel := selectAll(t, openTree(t, dir, Options{}), "d")
	addTree(t, dir, `d/f "two" @5`)
	err := Copy(t.Context(), makeTree(t, ""), sel, "/", CopyOptions{})
	checkError(t, err, ErrChanged, `"d/f"`)
}

// A step is known by the digest of what was selected: a link with another target must not be copied under it.
func TestCopyRefusesALinkThatChangedAfterItWasSelected(t *testing.T) {
	dir := makeTree(t, "d/link -> one")
	sel := selectAll(t, openTree(t, dir, Options{}), "d")
	must(t, os.Remove(filepath.Join(dir, "d", "link")))
	must(t, os.Symlink("two", filepath.Join(dir, "d", "link")))
	err := Copy(t.Context(), makeTree(t, ""), sel, "/", CopyOptions{})
	checkError(t, err, ErrChanged, `"d/link"`)
}

func TestCopyNeverFollowsLinkThatTookThePlaceOfADirectory(t *testing.T) {
	dir := makeTree(t, "d/f \"one\"")
	sel := selectAll(t, openTree(t, dir, Options{}), "d")
	must(t, os.Rename(filepath.Join(dir, "d"), filepath.Join(dir, "e")))
	must(t, os.Symlink("e", filepath.Join(dir, "d")))
	root := makeTree(t, "")
	checkError(t, Copy(t.Context(), root, sel, "/", CopyOptions{}), unix.ELOOP, "")
}

func TestCopyStopsWhenCanceled(t *testing.T) {
	tree := openTree(t, makeTree(t, "d/f \"x\""), Options{})
	sel := selectAll(t, tree, "d")
	ctx, cancel := contextCanceled(t)
	defer cancel()
	checkError(t, Copy(ctx, makeTree(t, ""), sel, "/", CopyOptions{}), ctx.Err(), "")
}

func TestCopyManyDirectoriesKeepsTimes(t *testing.T) {
	requireRoot(t)
	var text, want strings.Builder
	for _, a := range "abcdefgh" {
		for _, b := range "abcdefgh" {
			dir := string(a) + "/" + string(b) + "/"
			text.WriteString("d/" + dir + " @50\n" + "d/" + dir + "f \"x\" @60\n")
		}
		text.WriteString("d/" + string(a) + "/ @40\n")
	}
	for _, a := range "abcdefgh" {
		want.WriteString(string(a) + "/ @40\n")
		for _, b := range "abcdefgh" {
			dir := string(a) + "/" + string(b) + "/"
			want.WriteString(dir + " @50\n" + dir + "f \"x\" @60\n")
		}
	}
	root := makeTree(t, "")
	sel := selectAll(t, openTree(t, makeTree(t, text.String()), Options{}), "d")
	must(t, Copy(t.Context(), root, sel, "/", CopyOptions{}))
	checkTree(t, root, want.String())
}
