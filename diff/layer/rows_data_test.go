package layer_test

import "github.com/lbuild/lbuild/diff"

var explicit = diff.UpperOptions{Whiteouts: diff.Explicit}

var deletions = []row{
	{name: "a deleted file is one whiteout", lower: []string{`f "x"`}, step: `rm f`, want: `.wh.f`},
	{
		name:  "a deleted file in a directory comes after the directory",
		lower: []string{"d/\nd/f \"x\"\nd/g"},
		step:  `rm d/f; touch -d @1000000000 d`,
		want:  "d/\nd/.wh.f",
	},
	{name: "a deleted tree is one whiteout", lower: []string{"d/\nd/e/\nd/e/f"}, step: `rm -r d`, want: `.wh.d`},
	{
		name:  "whiteouts come before entries",
		lower: []string{"b\nz"},
		step:  `rm b z; touch a y`,
		want:  ".wh.b\n.wh.z\na\ny",
	},
	{
		name:  "a name made and deleted again is nothing",
		lower: []string{"d/\nd/f"},
		step:  `touch new; rm new; touch d/new; rm d/new; touch -d @1000000000 d`,
	},
	{
		name:  "a name deleted twice over two lower directories is one whiteout",
		lower: []string{`f "top"`, `f "bottom"`},
		step:  `rm f`,
		want:  `.wh.f`,
	},
	{
		name:  "a whiteout of a name that a lower directory deletes already is nothing",
		lower: []string{"f char=0:0\ng", "f\ng"},
		step:  `touch f; rm f`,
	},
	{
		name:  "a name that a lower directory deletes is new",
		lower: []string{"f char=0:0", `f "x"`},
		step:  `printf y >f`,
		want:  `f "y"`,
	},
	{name: "nothing is nothing", lower: []string{"d/\nd/f"}, step: `true`},
}

var directories = []row{
	{
		name:  "a directory made again hides what it held",
		lower: []string{"d/\nd/a\nd/b"},
		step:  `rm -r d; mkdir d; touch d/n`,
		want:  "d/\nd/.wh..wh..opq\nd/n",
	},
	{
		name:  "explicit whiteouts name what is hidden",
		lower: []string{"d/\nd/a\nd/b\nd/n\nd/sub/\nd/sub/x\nd/sub/y"},
		step:  `rm -r d; mkdir d; touch d/n; mkdir d/sub; touch d/sub/y`,
		opts:  explicit,
		want:  "d/\nd/.wh.a\nd/.wh.b\nd/n\nd/sub/\nd/sub/.wh.x\nd/sub/y",
	},
	{
		name:  "explicit whiteouts see through the lower directories",
		lower: []string{"d/\nd/a char=0:0\nd/c", "d/\nd/a\nd/b"},
		step:  `rm -r d; mkdir d`,
		opts:  explicit,
		want:  "d/\nd/.wh.b\nd/.wh.c",
	},
	{
		name:  "explicit whiteouts name nothing that a lower directory hides already",
		lower: []string{"d/ trusted.overlay.opaque=\"y\"\nd/a", "d/\nd/f"},
		step:  `rm -r d; mkdir d`,
		opts:  explicit,
		want:  "d/\nd/.wh.a",

		onlyRoot: "marks in trusted.",
	},
	{name: "a new directory has no marker", step: `mkdir -p d/e; touch d/e/f`, want: "d/\nd/e/\nd/e/f"},
	{
		name:  "a directory that a lower directory deletes has no marker",
		lower: []string{"d char=0:0", "d/\nd/f"},
		step:  `mkdir d; touch d/n`,
		want:  "d/\nd/n",
	},
	{name: "a file becomes a directory", lower: []string{`x "f"`}, step: `rm x; mkdir x; touch x/n`, want: "x/\nx/n"},
	{name: "a directory becomes a file", lower: []string{"x/\nx/f"}, step: `rm -r x; printf f >x`, want: `x "f"`},
	{name: "a directory becomes a link", lower: []string{"x/\nx/f\ny/"}, step: `rm -r x; ln -s y x`, want: `x -> y`},
	{name: "a link becomes a directory", lower: []string{"x -> y\ny/\ny/f"}, step: `rm x; mkdir x`, want: `x/`},
	{
		name:  "a file becomes a directory, becomes a file",
		lower: []string{"x", "x/\nx/old"},
		step:  `rm x; mkdir x; touch x/n`,
		want:  "x/\nx/n",
	},
	{
		name:  "a parent keeps its own metadata",
		lower: []string{"d/ mode=0700 own=5:6 mtime=7\nd/e/ mode=1777\nd/e/f \"x\""},
		step:  `printf y >d/e/f`,
		want:  "d/ mode=0700 own=5:6 mtime=7\nd/e/ mode=1777\nd/e/f \"y\"",
	},
	{
		name:  "a parent comes once",
		lower: []string{"d/\nd/a\nd/b"},
		step:  `printf x >d/a; printf y >d/b`,
		want:  "d/\nd/a \"x\"\nd/b \"y\"",
	},
	{
		name:  "a changed directory comes without its content",
		lower: []string{"d/\nd/f"},
		step:  `chmod 0700 d`,
		want:  `d/ mode=0700`,
	},
	{
		name:  "a directory whose time changed is a change",
		lower: []string{"d/\nd/f"},
		step:  `touch -d @5 d`,
		want:  `d/ mtime=5`,
	},
	{
		name:        "a changed root is an entry",
		lower:       []string{"d/"},
		step:        `chmod 0700 .`,
		want:        `./ mode=0700`,
		unpackLoses: "the root",
	},
	{name: "a root with a new owner is an entry", step: `chown 1:2 .`, want: `./ own=1:2`, unpackLoses: "the root"},
}

var files = []row{
	{name: "a new file", step: `printf x >f`, want: `f "x"`},
	{name: "a changed file", lower: []string{`f "x"`}, step: `printf yy >f`, want: `f "yy"`},
	{
		name:  "changed content with the size and time of before",
		lower: []string{`f "x"`},
		step:  `printf y >f; touch -d @1000000000 f`,
		want:  `f "y"`,
	},
	{
		name:  "a file moved away and back is nothing",
		lower: []string{"f \"x\"\nd/\nd/g"},
		step:  `mv f t; mv t f; touch -d @1000000000 .; chown 0:0 d/g; touch -r d/g d/g`,
	},
	{
		name:  "a link and a device that come up unchanged are nothing",
		lower: []string{"l -> x\nc char=1:3\np fifo"},
		step:  `for f in l c p; do mv $f t; mv t $f; done`,

		onlyRoot: "devices",
	},
	{
		name:  "a touched file is a change",
		lower: []string{`f "x" mtime=5`},
		step:  `touch -d @6 f`,
		want:  `f "x" mtime=6`,
	},
	{
		name: "a socket is left out with a warning",
		step: `perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Local=>"s", Listen=>1) or die'`,
		warn: []string{`"s" is a socket and was left out`},
	},
	{
		name: "a socket in a new directory is left out with a warning",
		step: `mkdir d; perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Local=>"d/s", Listen=>1) or die'`,
		want: "d/",
		warn: []string{`"d/s" is a socket and was left out`},
	},
	{
		name:  "a socket in the place of a file deletes the file",
		lower: []string{"s"},
		step:  `rm s; perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Local=>"s", Listen=>1) or die'`,
		want:  `.wh.s`,
		warn:  []string{`"s" is a socket and was left out`},
	},
	{
		name:  "a socket in the place of a hidden file deletes the file",
		lower: []string{"d/\nd/s"},
		step:  `rm -r d; mkdir d; perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Local=>"d/s", Listen=>1) or die'`,
		opts:  explicit,
		want:  "d/\nd/.wh.s",
		warn:  []string{`"d/s" is a socket and was left out`},
	},
	{
		name:   "a socket in a lower directory is as good as none",
		lower:  []string{"d/\nother/"},
		before: `for s in gone kept d/hidden; do perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Local=>$ARGV[0], Listen=>1)' $s; done`,
		step:   `rm gone; chown 0:0 kept; rm -r d; mkdir d`,
		opts:   explicit,
		want:   "d/",
		warn:   []string{`"kept" is a socket and was left out`},
	},
	{
		name: "a sparse file is whole and warned of",
		step: `truncate -s 8M f; printf x | dd of=f bs=1 seek=4000000 conv=notrunc status=none`,
		want: `f size=8388608`,
		warn: []string{`"f" is sparse: its 8388608 bytes, of which 4096 are on disk, are all in the layer`},
	},
}

var links = []row{
	{name: "names of one new file", step: `mkdir d; printf x >d/a; ln d/a b`, want: "b \"x\"\nd/\nd/a => b"},
	{
		name:  "a second name of a lower file brings both",
		lower: []string{`old "x"`},
		step:  `ln old zz; ln old aa`,
		want:  "aa \"x\"\nold => aa\nzz => aa",
	},
	{name: "names of a symbolic link", step: `ln -s x a; ln -P a b`, want: "a -> x\nb => a"},
	{name: "names of a fifo", step: `mkfifo a; ln a b`, want: "a fifo\nb => a"},
	{
		name: "a name in a directory that is gone leaves one",
		step: `printf x >a; ln a b; rm a`,
		want: `b "x"`,
	},
	{
		name: "names of a file with capabilities",
		step: `printf x >a; setfattr -n user.k -v v a; ln a b; chmod 4755 a`,
		want: "a \"x\" mode=4755 user.k=\"v\"\nb => a",
	},
}

var metadata = []row{
	{name: "mode", lower: []string{`f "x"`}, step: `chmod 6711 f`, want: `f "x" mode=6711`},
	{
		name:     "owner",
		lower:    []string{`f "x"`},
		step:     `chown 3000000:4000000 f`,
		want:     `f "x" own=3000000:4000000`,
		onlyRoot: "owners that the namespace does not map",
	},
	{name: "only the owner", lower: []string{`f "x"`}, step: `chown 5 f`, want: `f "x" own=5:0`},
	{name: "only the group", lower: []string{`f "x"`}, step: `chgrp 5 f`, want: `f "x" own=0:5`},
	{name: "only a bit above the permissions", lower: []string{`d/`}, step: `chmod +t d`, want: `d/ mode=1755`},
	{
		name:  "only the number of a device",
		lower: []string{"c char=1:3"},
		step:  `rm c; mknod c c 1 5; touch -d @1000000000 c`,
		want:  "c char=1:5",

		onlyRoot: "devices",
	},
	{
		name:  "only the target of a link",
		lower: []string{"l -> x"},
		step:  `ln -sfn y l; touch -h -d @1000000000 l`,
		want:  "l -> y",
	},
	{
		name:  "only the value of an attribute",
		lower: []string{`f user.k="v"`},
		step:  `setfattr -n user.k -v w f`,
		want:  `f user.k="w"`,
	},
	{
		name:  "only an attribute of a file",
		lower: []string{`f "x"`},
		step:  `setfattr -n user.k -v v f; touch -d @1000000000 f`,
		want:  `f "x" user.k="v"`,
	},
	{
		name:  "only an attribute of a directory",
		lower: []string{"d/\nd/f"},
		step:  `setfattr -n user.k -v v d`,
		want:  `d/ user.k="v"`,
	},
	{
		name:  "an attribute that is gone",
		lower: []string{`f "x" user.k="v" user.l="w"`},
		step:  `setfattr -x user.k f`,
		want:  `f "x" user.l="w"`,
	},
	{
		name:        "an attribute of a directory that is gone",
		lower:       []string{`d/ user.k="v" user.l="w"`},
		step:        `setfattr -x user.k d`,
		want:        `d/ user.l="w"`,
		unpackLoses: "that a directory has fewer attributes",
	},
	{
		name: "capabilities of one user namespace",
		step: `touch f; setfattr -n security.capability -v 0x0100000300200000000000000000000000000000e8030000 f`,
		want: `f security.capability="\x01\x00\x00\x02\x00 \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"`,

		unpackLoses: "nothing, but the file has them in another form",
	},
	{
		name: "an access list",
		step: `mkdir d; setfattr -n system.posix_acl_default -v 0x0200000001000700ffffffff04000500ffffffff20000500ffffffff d`,
		want: `d/ system.posix_acl_default="\x02\x00\x00\x00\x01\x00\a\x00\xff\xff\xff\xff\x04\x00\x05\x00\xff\xff\xff\xff` +
			` \x00\x05\x00\xff\xff\xff\xff"`,
	},
	{
		name: "labels of the machine are left out",
		step: `touch f; setfattr -n security.selinux -v system_u f; setfattr -n user.k -v v f`,
		want: `f user.k="v"`,

		unpackLoses: "labels, because the layer has none",
	},
	{
		name: "capabilities",
		step: `touch f; setcap cap_net_raw+ep f`,
		want: `f security.capability="\x01\x00\x00\x02\x00 \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"`,
	},
	{
		name: "an attribute with any bytes",
		step: `touch f; setfattr -n user.k -v 0x000a3dff f`,
		want: `f user.k="\x00\n=\xff"`,
	},
	{
		name:        "times far off",
		step:        `touch -d @-5 a; touch -d @9000000000 b`,
		want:        "a mtime=-5\nb mtime=9000000000",
		unpackLoses: "times before 1970",
	},
	{
		name: "special files",
		step: `mkfifo p; mknod c c 5 1; mknod b b 259 70000`,
		want: "b block=259:70000\nc char=5:1\np fifo",

		onlyRoot: "devices",
	},
	{
		name: "bits above the permissions",
		step: `mkdir d; chmod 3777 d; touch f; chmod 7777 f`,
		want: "d/ mode=3777\nf mode=7777",
	},
}

var names = []row{
	{name: "byte order", step: `mkdir a; touch a/x a.b a-b B`, want: "B\na/\na/x\na-b\na.b"},
	{
		name: "any bytes",
		step: `touch "$(printf 'a\nb')" "$(printf '\377')" ' ' 'ü'; ln -s "$(printf '\376\nx')" l`,
		want: "\" \"\n\"a\\nb\"\nl -> \"\\xfe\\nx\"\nü\n\"\\xff\"",
	},
	{
		name: "long",
		step: `n=$(printf %0120d 0); m=$(printf %0255d 0); mkdir $n; touch $n/$m $m`,
		want: zeros(120) + "/\n" + zeros(120) + "/" + zeros(255) + "\n" + zeros(255),
	},
	{name: "almost a whiteout", step: `touch .wh wh. x.wh.y`, want: ".wh\nwh.\nx.wh.y"},
}
