package integration

import "strings"

// attempt is one more build of a context.
type attempt struct {
	change string   // a shell script that changes the context before
	args   []string // flags of this build
	want   string   // of outcome.steps
	same   bool     // the image is that of the first build
}

// words splits flags without blanks in them.
func words(flags string) []string { return strings.Fields(flags) }

// scenarios are builds after builds. The lines in want are those of the Buildfile.
var scenarios = []struct {
	name     string
	files    string
	attempts []attempt
}{
	{
		name:  "the same again",
		files: "-- Buildfile --\nFROM base\nCOPY a b /\nRUN cat /a >/c\n-- a --\na\n-- b --\nb\n",
		attempts: []attempt{
			{want: "2 done, 3 done; 1 run"},
			{want: "2 cached, 3 cached; 0 run", same: true},
		},
	},
	{
		name:  "a context that is copied elsewhere",
		files: "-- Buildfile --\nFROM base\nCOPY d /d\nRUN cat /d/* >/c\n-- d/a --\na\n-- d/b --\nb\n",
		attempts: []attempt{
			{want: "2 done, 3 done; 1 run"},
			{change: "cp -r d e; rm -r d; mv e d", want: "2 cached, 3 cached; 0 run", same: true},
		},
	},
	{
		name:  "touched",
		files: "-- Buildfile --\nFROM base\nCOPY a /a\nRUN cat /a >/c\n-- a --\na\n",
		attempts: []attempt{
			{want: "2 done, 3 done; 1 run"},
			{change: "touch -d 2001-02-03 a .", want: "2 cached, 3 cached; 0 run", same: true},
		},
	},
	{
		name:  "a changed byte and back",
		files: "-- Buildfile --\nFROM base\nRUN echo before >/before\nCOPY a /a\nRUN cat /a >/c\nCOPY b /b\nRUN echo after >/after\n-- a --\naaa\n-- b --\nb\n",
		attempts: []attempt{
			{want: "2 done, 3 done, 4 done, 5 done, 6 done; 3 run"},
			{change: "printf 'aab\n' >a", want: "2 cached, 3 done, 4 done, 5 done, 6 done; 2 run"},
			{change: "printf 'aaa\n' >a", want: "2 cached, 3 cached, 4 cached, 5 cached, 6 cached; 0 run", same: true},
			{change: "printf 'c\n' >b", want: "2 cached, 3 cached, 4 cached, 5 done, 6 done; 1 run"},
		},
	},
	{
		name:  "a changed byte that keeps size and mtime",
		files: "-- Buildfile --\nFROM base\nCOPY a /a\n-- a --\naaa\n",
		attempts: []attempt{
			{want: "2 done; 0 run"},
			{change: "touch -r a ref; printf 'aab\n' >a; touch -r ref a; rm ref", want: "2 done; 0 run"},
		},
	},
	{
		name:  "a file more and a link",
		files: "-- Buildfile --\nFROM base\nCOPY d /d\n-- d/a --\na\n",
		attempts: []attempt{
			{want: "2 done; 0 run"},
			{change: "echo b >d/b", want: "2 done; 0 run"},
			{change: "mv d/b d/c", want: "2 done; 0 run"},
			{change: "ln -s a d/l", want: "2 done; 0 run"},
			{change: "ln -sfn c d/l", want: "2 done; 0 run"},
			{change: "rm d/l d/c", want: "2 cached; 0 run", same: true},
		},
	},
	{
		name:  "a changed mode",
		files: "-- Buildfile --\nFROM base\nCOPY a /a\nRUN ls -l /a >/c\n-- a --\na\n",
		attempts: []attempt{
			{want: "2 done, 3 done; 1 run"},
			{change: "chmod 755 a", want: "2 done, 3 done; 1 run"},
			{change: "chmod 644 a", want: "2 cached, 3 cached; 0 run", same: true},
		},
	},
	{
		name:  "a mode and an owner of the Buildfile's",
		files: "-- Buildfile --\nFROM base\nCOPY --chown=1 --chmod=600 a /a\n-- a --\na\n",
		attempts: []attempt{
			{want: "2 done; 0 run"},
			{change: "sed -i s/600/640/ Buildfile", want: "2 done; 0 run"},
			{change: "sed -i s/chown=1/chown=2/ Buildfile", want: "2 done; 0 run"},
			{change: "sed -i 's/chown=2/chown=1/; s/640/600/' Buildfile", want: "2 cached; 0 run", same: true},
		},
	},
	{
		name:  "an ARG that RUN sees",
		files: "-- Buildfile --\nFROM base\nRUN echo before >/before\nARG A=1\nRUN echo $A >/c\nCOPY a /a\n-- a --\na\n",
		attempts: []attempt{
			{want: "2 done, 4 done, 5 done; 2 run"},
			{args: words("--build-arg A=2"), want: "2 cached, 4 done, 5 done; 1 run"},
			{args: words("--build-arg A=1"), want: "2 cached, 4 cached, 5 cached; 0 run", same: true},
		},
	},
	{
		name:  "an ARG that is declared before FROM, and again",
		files: "-- Buildfile --\nARG A=1\nFROM base\nRUN echo before >/before\nARG A\nRUN echo $A >/c\n",
		attempts: []attempt{
			{want: "3 done, 5 done; 2 run"},
			{args: words("--build-arg A=2"), want: "3 cached, 5 done; 1 run"},
		},
	},
	{
		name:  "an ARG that is declared later",
		files: "-- Buildfile --\nFROM base\nRUN echo x >/c\nARG A=1\n",
		attempts: []attempt{
			{want: "2 done; 1 run"},
			{args: words("--build-arg A=2"), want: "2 cached; 0 run"},
		},
	},
	{
		name:  "an ARG of another stage",
		files: "-- Buildfile --\nFROM base AS one\nARG A=1\nRUN echo $A >/c\nFROM base\nRUN echo x >/x\nCOPY --from=one /etc/passwd /p\n",
		attempts: []attempt{
			{want: "3 done, 5 done, 6 done; 2 run"},
			{args: words("--build-arg A=2"), want: "3 done, 5 cached, 6 cached; 1 run", same: true},
		},
	},
	{
		name:  "an ARG that nobody declares",
		files: "-- Buildfile --\nFROM base\nRUN echo x >/c\n",
		attempts: []attempt{
			{want: "2 done; 1 run"},
			{args: words("--build-arg OTHER=2"), want: "2 cached; 0 run", same: true},
		},
	},
	{
		name:  "an ARG that ENV hides",
		files: "-- Buildfile --\nFROM base\nARG A=1\nENV A=env\nRUN echo $A >/c\n",
		attempts: []attempt{
			{want: "4 done; 1 run"},
			{args: words("--build-arg A=2"), want: "4 cached; 0 run"},
		},
	},
	{
		name:  "ENV",
		files: "-- Buildfile --\nFROM base\nCOPY a /before\nENV A=1\nCOPY a /a\nRUN echo $A >/c\n-- a --\na\n",
		attempts: []attempt{
			{want: "2 done, 4 done, 5 done; 1 run"},
			{change: "sed -i s/A=1/A=2/ Buildfile", want: "2 cached, 4 cached, 5 done; 1 run"},
		},
	},
	{
		name:  "USER and WORKDIR and SHELL",
		files: "-- Buildfile --\nFROM base\nUSER 0\nRUN pwd >/tmp/c\n-- a --\na\n",
		attempts: []attempt{
			{want: "3 done; 1 run"},
			{change: "sed -i 's/USER .*/USER app/' Buildfile", want: "3 done; 1 run"},
			{change: "sed -i 's/USER .*/WORKDIR \\/tmp/' Buildfile", want: "2 done, 3 done; 1 run"},
			{change: "sed -i 's/WORKDIR .*/SHELL [\"sh\",\"-xc\"]/' Buildfile", want: "3 done; 1 run"},
			{change: "sed -i 's/SHELL .*/USER 0/' Buildfile", want: "3 cached; 0 run", same: true},
		},
	},
	{
		name:  "LABEL and other metadata",
		files: "-- Buildfile --\nFROM base\nLABEL a=1\nRUN echo x >/c\n",
		attempts: []attempt{
			{want: "3 done; 1 run"},
			{change: "sed -i s/a=1/a=2/ Buildfile", want: "3 cached; 0 run"},
			{change: "sed -i 's/LABEL.*/EXPOSE 80/' Buildfile", want: "3 cached; 0 run"},
			{args: words("--label b=1 -t other"), want: "3 cached; 0 run"},
		},
	},
	{
		name:  "comments and blank lines",
		files: "-- Buildfile --\nFROM base\nCOPY a /a\nRUN cat /a >/c\n-- a --\na\n-- .dockerignore --\nBuildfile\n",
		attempts: []attempt{
			{want: "2 done, 3 done; 1 run"},
			{change: "sed -i 's/^RUN/\\n# why\\n\\nRUN/' Buildfile", want: "2 cached, 6 cached; 0 run", same: true},
		},
	},
	{
		name:  "a stage that is made again, the same",
		files: "-- Buildfile --\nFROM base AS one\nRUN echo made >/made\nFROM base\nCOPY --from=one /made /made\nRUN cat /made >/c\n",
		attempts: []attempt{
			{want: "2 done, 4 done, 5 done; 2 run"},
			{args: words("--no-cache-filter one"), want: "2 done, 4 cached, 5 cached; 1 run", same: true},
			{change: "sed -i 's/echo made/:; echo made/' Buildfile", want: "2 done, 4 cached, 5 cached; 1 run", same: true},
			{change: "sed -i 's/:; echo made/echo other/' Buildfile", want: "2 done, 4 done, 5 done; 2 run"},
		},
	},
	{
		name:  "without the cache",
		files: "-- Buildfile --\nFROM base\nCOPY a /a\nRUN cat /a >/c\n-- a --\na\n",
		attempts: []attempt{
			{want: "2 done, 3 done; 1 run"},
			{args: words("--no-cache"), want: "2 done, 3 done; 1 run"},
			{want: "2 cached, 3 cached; 0 run"},
		},
	},
	{
		name:  "what .dockerignore leaves out",
		files: "-- Buildfile --\nFROM base\nCOPY . /d\nRUN ls /d >/c\n-- a --\na\n-- log/x --\n1\n-- .dockerignore --\nlog\n*.tmp\n!keep.tmp\n",
		attempts: []attempt{
			{want: "2 done, 3 done; 1 run"},
			{change: "echo 2 >log/x; echo 3 >log/y; echo 4 >a.tmp", want: "2 cached, 3 cached; 0 run", same: true},
			{change: "echo 5 >keep.tmp", want: "2 done, 3 done; 1 run"},
		},
	},
	{
		name:  "what nobody copies",
		files: "-- Buildfile --\nFROM base\nCOPY a /a\n-- a --\na\n-- b --\nb\n",
		attempts: []attempt{
			{want: "2 done; 0 run"},
			{change: "echo other >b; mkdir more", want: "2 cached; 0 run", same: true},
		},
	},
	{
		name:  "another compression",
		files: "-- Buildfile --\nFROM base\nRUN echo x >/c\n",
		attempts: []attempt{
			{want: "2 done; 1 run"},
			{args: words("--compression zstd"), want: "2 cached; 0 run"},
			{want: "2 cached; 0 run", same: true},
		},
	},
	{
		name:  "other hosts and network",
		files: "-- Buildfile --\nFROM base\nRUN cat /etc/hosts >/c\n",
		attempts: []attempt{
			{want: "2 done; 1 run"},
			{args: words("--add-host a:10.0.0.1"), want: "2 done; 1 run"},
			{args: words("--network none"), want: "2 done; 1 run"},
			{want: "2 cached; 0 run", same: true},
		},
	},
	{
		name:  "a RUN of the same text in two stages",
		files: "-- Buildfile --\nFROM base AS one\nRUN echo x >/c\nFROM base AS two\nRUN echo x >/c\nFROM base\nCOPY --from=one /c /1\nCOPY --from=two /c /2\n",
		attempts: []attempt{
			{want: "2 cached, 4 done, 6 done, 7 done; 1 run"},
			{want: "2 cached, 4 cached, 6 cached, 7 cached; 0 run", same: true},
		},
	},
	{
		name:  "heredocs",
		files: "-- Buildfile --\nFROM base\nCOPY <<a /a\none\na\nRUN <<b\ncat /a >/c\nb\n",
		attempts: []attempt{
			{want: "2 done, 5 done; 1 run"},
			{change: "sed -i s/one/two/ Buildfile", want: "2 done, 5 done; 1 run"},
			{change: "sed -i 's/two/one/; s/cat/tac/' Buildfile", want: "2 cached, 5 done; 1 run"},
		},
	},
}
