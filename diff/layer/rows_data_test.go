package layer_test

import "github.com/lbuild/lbuild/diff"

var explicit = diff.UpperOptions{Whiteouts: diff.Explicit}

var deletions = []row{
	{
		name:  "a name that a lower directory deletes is new",
		lower: []string{"f char=0:0", `f "x"`},
		step:  `printf y >f`,
		want:  `f "y"`,
	},
}

var directories = []row{
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
}

var files = []row{
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
	{
		name: "names of a file with capabilities",
		step: `printf x >a; setfattr -n user.k -v v a; ln a b; chmod 4755 a`,
		want: "a \"x\" mode=4755 user.k=\"v\"\nb => a",
	},
}

var metadata = []row{
	{name: "mode", lower: []string{`f "x"`}, step: `chmod 6711 f`, want: `f "x" mode=6711`},
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
}

// kinds is what the rows above lack for the whole tree to have every kind of entry, and names that are hard to write.
var kinds = []row{
	{
		name: "every kind of entry",
		step: `mkfifo p; mkdir d; printf x >d/f; ln d/f g; chmod 3777 d; ln -s "$(printf '\376\nx')" l; touch "$(printf 'a\nb')"`,
		want: "\"a\\nb\"\nd/ mode=3777\nd/f \"x\"\ng => d/f\nl -> \"\\xfe\\nx\"\np fifo",
	},
	{
		name: "long names",
		step: `n=$(printf %0120d 0); m=$(printf %0255d 0); mkdir $n; touch $n/$m $m`,
		want: zeros(120) + "/\n" + zeros(120) + "/" + zeros(255) + "\n" + zeros(255),
	},
}
