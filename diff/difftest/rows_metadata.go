package difftest

import (
	"archive/tar"
	"fmt"
	"strings"
)

const (
	caps2 = `security.capability="\x01\x00\x00\x02\x00 \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"`
	caps  = "\x01\x00\x00\x02\x00 \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	// setCaps and setCaps3 give cap_net_raw to f, the second bound to a user namespace.
	setCaps  = `setfattr -n security.capability -v 0x0100000200200000000000000000000000000000 f`
	setCaps3 = `setfattr -n security.capability -v 0x0100000300200000000000000000000000000000e8030000 f`

	setACL = `setfattr -n system.posix_acl_access -v 0x0200000001000600ffffffff02000400e8030000` +
		`04000400ffffffff10000400ffffffff20000400ffffffff`
	setDefaultACL = `setfattr -n system.posix_acl_default ` +
		`-v 0x0200000001000700ffffffff04000500ffffffff20000500ffffffff`
)

var changedAttributes = []trial{
	{
		name: "set on a file", lower: []string{`f "x"`}, step: `setfattr -n user.k -v v f`,
		checks: []check{xattr("f", "user.k", "v")}, want: `f "x" user.k="v"`,
	},
	{
		name: "set on a directory", lower: []string{"d/\nd/f"}, step: `setfattr -n user.k -v v d`,
		checks: []check{xattr("d", "user.k", "v")}, want: `d/ user.k="v"`,
	},
	{
		name: "changed", lower: []string{`f "x" user.k="v"`}, step: `setfattr -n user.k -v w f`,
		checks: []check{xattr("f", "user.k", "w")}, want: `f "x" user.k="w"`,
	},
	{
		name: "removed", lower: []string{`f "x" user.k="v" user.l="w"`}, step: `setfattr -x user.k f`,
		checks: []check{xattr("f", "user.k", ""), xattr("f", "user.l", "w")}, want: `f "x" user.l="w"`,
	},
	{
		name: "removed from a directory", lower: []string{`d/ user.k="v" user.l="w"`}, step: `setfattr -x user.k d`,
		checks: []check{xattr("d", "user.k", ""), xattr("d", "user.l", "w")}, want: `d/ user.l="w"`,
		noTree: "containerd leaves attributes on a directory that is there",
	},
	{
		name: "capabilities", lower: []string{`f "x"`}, step: setCaps, trusted: true,
		checks: []check{xattr("f", "security.capability", caps)}, want: `f "x" ` + caps2,
	},
	{
		name: "an access list", lower: []string{`f "x"`}, step: setACL + ` f`,
		checks: []check{hasXattr("f", "system.posix_acl_access")},
	},
	{
		name: "a default access list", lower: []string{"d/\nd/f"}, step: setDefaultACL + ` d`,
		checks: []check{hasXattr("d", "system.posix_acl_default")},
	},
}

func hasXattr(name, key string) check {
	return header(name, func(e entry) string {
		if e.PAXRecords[paxXattr+key] == "" {
			return "no " + key
		}
		return ""
	})
}

var keptAttributes = []trial{
	{
		name: "of users", step: `touch f; setfattr -n user.b -v 1 f; setfattr -n user.a -v 2 f`,
		checks: []check{xattr("f", "user.a", "2"), xattr("f", "user.b", "1")}, want: `f user.a="2" user.b="1"`,
	},
	{
		name: "any bytes", step: `touch f; setfattr -n user.k -v 0x000a3dff f`,
		checks: []check{xattr("f", "user.k", "\x00\n=\xff")}, want: `f user.k="\x00\n=\xff"`,
	},
	{
		name: "capabilities", step: `touch f; ` + setCaps, trusted: true,
		checks: []check{xattr("f", "security.capability", caps)}, want: `f ` + caps2,
	},
	{
		name: "access lists", step: `mkdir d; touch d/f; ` + setDefaultACL + ` d; ` + setACL + ` d/f`,
		checks: []check{hasXattr("d", "system.posix_acl_default"), hasXattr("d/f", "system.posix_acl_access")},
	},
	{
		name: "marks of the mount", lower: []string{"d/\nd/f \"x\"\ne/\ne/f"},
		step:   `rm -r d; mkdir d; touch d/n; printf y >e/f; chmod 0700 e`,
		checks: []check{each(marked)}, want: "d/\nd/.wh..wh..opq\nd/n\ne/ mode=0700\ne/f \"y\"",
	},
	{
		name: "capabilities bound to a user namespace", step: `touch f; ` + setCaps3, trusted: true,
		checks: []check{xattr("f", "security.capability", caps)}, want: `f ` + caps2,
		noTree: "the image has them in another form on purpose",
	},
	{
		name: "labels of the machine", trusted: true,
		step:   `touch f; setfattr -n security.selinux -v system_u f; setfattr -n user.k -v v f`,
		checks: []check{xattr("f", "security.selinux", ""), xattr("f", "user.k", "v")}, want: `f user.k="v"`,
		noTree: "the image lacks them on purpose",
	},
	{
		name: "marks in the namespace that the mount does not use", trusted: true, mount: []string{"index=off"},
		step:   `mkdir d; touch d/f; setfattr -n user.overlay.opaque -v y d`,
		checks: []check{xattr("d", "user.overlay.opaque", "y")}, want: "d/ user.overlay.opaque=\"y\"\nd/f",
	},
	{
		name: "marks that a step set, which the kernel hides", lower: []string{"d/\nd/f \"x\""}, trusted: true,
		step:   `setfattr -n trusted.overlay.opaque -v y d`,
		checks: []check{xattr("d", "trusted.overlay.opaque", "y"), lacks("d/.wh..wh..opq", "the mark is data")},
		want:   `d/ trusted.overlay.opaque="y"`,
		noTree: "containerd does not unpack trusted attributes",
	},
}

// marked tells an attribute that overlayfs keeps its books with.
func marked(e entry) string {
	for key := range e.PAXRecords {
		if strings.Contains(key, ".overlay.") {
			return "the mount's own attribute " + key
		}
	}
	return ""
}

const noRoot = "containerd does not unpack the root"

var roots = []trial{
	{
		name: "mode", lower: []string{"d/"}, step: `chmod 0700 .`, checks: []check{mode("", 0o700)},
		want: `./ mode=0700`, noTree: noRoot,
	},
	{
		name: "owner", step: `chown 1:2 .`, checks: []check{header("", func(e entry) string {
			if e.Uid != 1 || e.Gid != 2 {
				return fmt.Sprintf("owner %d:%d, want 1:2", e.Uid, e.Gid)
			}
			return ""
		})}, want: `./ own=1:2`, noTree: noRoot,
	},
	{
		name: "attribute", step: `setfattr -n user.k -v v .`, checks: []check{xattr("", "user.k", "v")},
		want: `./ user.k="v"`, noTree: noRoot,
	},
}

var exact = []trial{
	{
		name: "special files", step: `mkfifo p; mknod c c 5 1; mknod b b 259 70000`, trusted: true,
		want: "b block=259:70000\nc char=5:1\np fifo",
	},
	{
		name: "bits above the permissions", step: `mkdir d; chmod 3777 d; touch f; chmod 7777 f`,
		want: "d/ mode=3777\nf mode=7777",
	},
	{
		name: "a mode without permissions", lower: []string{`f "x"`}, step: `chmod 0 f; printf y >g; chmod 0 g`,
		want: "f \"x\" mode=0000\ng \"y\" mode=0000",
	},
	{
		name: "large owners", lower: []string{`f "x"`}, step: `chown 3000000:4000000 f; touch g; chown 4294967294:2097152 g`,
		want: "f \"x\" own=3000000:4000000\ng own=4294967294:2097152",
	},
	{
		name: "odd names",
		step: `touch "$(printf 'a\nb')" "$(printf '\377')" ' ' 'ü' '=' 'a b'; ln -s "$(printf '\376\nx')" l`,
		want: "\" \"\n\"=\"\n\"a\\nb\"\n\"a b\"\nl -> \"\\xfe\\nx\"\nü\n\"\\xff\"",
	},
	{
		name: "long names", step: `n=$(printf %0120d 0); m=$(printf %0255d 0); mkdir $n; touch $n/$m $m; ln -s $m$n/$m l`,
		want: zeros(120) + "/\n" + zeros(120) + "/" + zeros(255) + "\n" + zeros(255) + "\nl -> " + zeros(255+120) + "/" + zeros(255),
	},
	{name: "byte order", step: `mkdir a; touch a/x a.b a-b B`, want: "B\na/\na/x\na-b\na.b"},
	{
		name: "times far off", step: `touch -d @-5 a; touch -d @9000000000 b`,
		checks: []check{at("a", -5), at("b", 9_000_000_000)},
		want:   "a mtime=-5\nb mtime=9000000000", noTree: "containerd does not unpack times before 1970",
	},
	{
		name: "a size of more than 8 GiB", step: `truncate -s 8591M big; printf x >>big`, big: true, headers: true,
		checks: []check{size("big", 8591<<20+1)},
	},
}

func zeros(n int) string { return strings.Repeat("0", n) }

func at(name string, seconds int64) check {
	return header(name, func(e entry) string {
		if got := e.ModTime.Unix(); got != seconds {
			return fmt.Sprintf("the time %d, want %d", got, seconds)
		}
		return ""
	})
}

func size(name string, want int64) check {
	return header(name, func(e entry) string {
		if e.size != want || e.Typeflag != tar.TypeReg {
			return fmt.Sprintf("%d bytes and the type %q, want %d and a regular file", e.size, e.Typeflag, want)
		}
		return ""
	})
}

var anywhere = []trial{
	{
		name: "every type", step: `mkdir d; printf x >d/f; ln -s f d/l; mkfifo p; chown 1:1 d/f`,
		checks: []check{each(ofTheMachine)}, want: "d/\nd/f \"x\" own=1:1\nd/l -> f\np fifo",
	},
	{
		name: "changes and deletions", lower: []string{"d/\nd/f \"x\"\ng\nh/\nh/i"}, step: `printf y >d/f; rm g; rm -r h; mkdir h`,
		checks: []check{each(ofTheMachine)},
	},
	{
		name: "what has been read", step: `printf x >f; sleep 0.01; cat f >f2; chmod 0600 f`,
		checks: []check{each(ofTheMachine)},
	},
}
