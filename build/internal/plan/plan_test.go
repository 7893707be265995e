package plan_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/platforms"
	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"

	"github.com/lbuild/lbuild/build/buildfile"
	"github.com/lbuild/lbuild/build/internal/plan"
)

// options are for an arm64 target on amd64 with the given target, build arguments and context names.
func options(target, args, contexts string) plan.Options {
	o := plan.Options{
		Target:         target,
		Args:           map[string]string{},
		BuildPlatform:  platforms.MustParse("linux/amd64"),
		TargetPlatform: platforms.MustParse("linux/arm/v7"),
		Contexts:       map[string]string{},
	}
	for _, arg := range strings.Fields(args) {
		name, value, _ := strings.Cut(arg, "=")
		o.Args[name] = value
	}
	for _, name := range strings.Fields(contexts) {
		o.Contexts[name] = "/some/directory"
	}
	return o
}

func parse(t *testing.T, input string) *buildfile.File {
	t.Helper()
	f, err := buildfile.Parse("Buildfile", []byte(input))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// describe writes a plan as text, a line for each stage: index in file, name, base, needs, sources of COPY, commands.
func describe(p *plan.Plan) string {
	var out strings.Builder
	for i, s := range p.Stages {
		mark := " "
		if i == p.Target {
			mark = "*"
		}
		fmt.Fprintf(&out, "%s%d %s on %s", mark, s.Index, s.Name, base(s.Base))
		if platform := platforms.Format(s.Platform); platform != "linux/arm/v7" {
			fmt.Fprintf(&out, " for %s", platform)
		}
		if len(s.Needs) > 0 {
			fmt.Fprintf(&out, " needs %v", s.Needs)
		}
		fmt.Fprintln(&out)
		for _, cmd := range s.Commands {
			fmt.Fprintf(&out, "    %s%s\n", cmd, source(s, cmd))
		}
	}
	return out.String()
}

func base(b plan.Origin) string {
	if b.Kind == plan.OnStage {
		return fmt.Sprintf("stage %d", b.Stage)
	}
	return strings.TrimSpace(fmt.Sprintf("%s %s", b.Kind, strings.TrimPrefix(b.Name, "scratch")))
}

func source(s plan.Stage, cmd instructions.Command) string {
	copying, ok := cmd.(*instructions.CopyCommand)
	if !ok || copying.From == "" {
		return ""
	}
	return " <- " + base(s.Sources[copying])
}

func TestNew(t *testing.T) {
	for _, test := range []struct{ name, input, target, args, contexts, want string }{
		{name: "one stage", input: "FROM debian\nRUN x\n", want: "*0 0 on image debian\n    RUN x\n"},
		{name: "scratch", input: "FROM scratch\n", want: "*0 0 on scratch\n"},
		{
			name: "stages that the target does not need are left out",
			input: `FROM a AS base
FROM b AS tools
FROM base AS test
FROM c AS unused
FROM base
COPY --from=tools x /`,
			want: `
 0 base on image a
 1 tools on image b
*4 4 on stage 0 needs [0 1]
    COPY --from=tools x / <- stage 1`,
		},
		{
			name: "target by name in any case", target: "TEST", input: "FROM a AS test\nFROM b\n",
			want: "*0 test on image a\n",
		},
		{name: "target by number", target: "0", input: "FROM a\nFROM b\n", want: "*0 0 on image a\n"},
		{
			name: "COPY --from number, image, stage in any case and scratch",
			input: `FROM a
FROM b AS two
FROM c
COPY --from=0 x /
COPY --from=Two x /
COPY --from=busybox:1 x /
COPY --from=scratch x /
COPY x /`,
			want: `
 0 0 on image a
 1 two on image b
*2 2 on image c needs [0 1]
    COPY --from=0 x / <- stage 0
    COPY --from=Two x / <- stage 1
    COPY --from=busybox:1 x / <- image busybox:1
    COPY --from=scratch x / <- scratch
    COPY x /`,
		},
		{
			name: "COPY --from sees later stages, FROM does not", target: "0",
			input: "FROM late\nCOPY --from=late x /\nFROM b AS late\n",
			want:  "*0 0 on image late needs [1]\n    COPY --from=late x / <- stage 1\n 1 late on image b\n",
		},
		{
			name:  "the later stage of a name wins",
			input: "FROM a AS x\nFROM b AS x\nFROM x\nCOPY --from=x f /\n",
			want:  " 1 x on image b\n*2 2 on stage 0 needs [0]\n    COPY --from=x f / <- stage 0\n",
		},
		{
			name:  "FROM takes the nearest stage above",
			input: "FROM a AS x\nFROM X AS y\nFROM b AS x\nFROM y\n",
			want:  " 0 x on image a\n 1 y on stage 0 needs [0]\n*3 3 on stage 1 needs [1]\n",
		},
		{
			name:     "a context wins over a stage and an image",
			input:    "FROM a AS deps\nRUN x\nFROM debian:latest\nCOPY --from=deps f /\nCOPY --from=0 f /\nCOPY --from=docker.io/library/alpine:3 f /\n",
			contexts: "deps debian alpine:3",
			want: `
 0 deps on context deps
*1 1 on context debian needs [0]
    COPY --from=deps f / <- context deps
    COPY --from=0 f / <- stage 0
    COPY --from=docker.io/library/alpine:3 f / <- context alpine:3`,
		},
		{
			name: "a context of a reserved name or another tag replaces nothing", contexts: "scratch alpine:3",
			input: "FROM scratch\nCOPY --from=alpine f /\n",
			want:  "*0 0 on scratch\n    COPY --from=alpine f / <- image alpine\n",
		},
		{
			name: "global arguments", args: "TAG=9 OTHER=x",
			input: "ARG NAME=debian\nARG TAG=1\nARG FULL=$NAME:${TAG}-slim\nARG BARE\nFROM ${FULL}${BARE}\n",
			want:  "*0 0 on image debian:9-slim\n",
		},
		{
			name:  "platforms",
			input: "FROM --platform=$BUILDPLATFORM a AS x\nFROM x AS y\nFROM --platform=linux/${TARGETARCH} b\nCOPY --from=y f /\n",
			want: `
 0 x on image a for linux/amd64
 1 y on stage 0 for linux/amd64 needs [0]
*2 2 on image b needs [1]
    COPY --from=y f / <- stage 1`,
		},
		{
			name: "predefined arguments", target: "x",
			input: "FROM a:$TARGETSTAGE-$TARGETOS-$TARGETARCH-$TARGETVARIANT-$BUILDOS-$BUILDARCH$BUILDVARIANT AS x\n",
			want:  "*0 x on image a:x-linux-arm-v7-linux-amd64\n",
		},
		{name: "target stage without a name", input: "FROM a:$TARGETSTAGE\n", want: "*0 0 on image a:default\n"},
		{
			name: "a child stage runs the triggers of its parent once",
			input: `FROM a AS parent
ONBUILD COPY --from=tools x /
ONBUILD ARG V
FROM parent AS child
RUN own
FROM b AS tools
FROM child`,
			want: `
 0 parent on image a
    ONBUILD COPY --from=tools x /
    ONBUILD ARG V
 1 child on stage 0 needs [0 2]
    COPY --from=tools x / <- stage 2
    ARG V
    RUN own
 2 tools on image b
*3 3 on stage 1 needs [1]`,
		},
		{
			name: "a child stage runs the triggers of a parent on a context", contexts: "img",
			input: "FROM img AS parent\nONBUILD RUN x\nFROM parent\n",
			want:  " 0 parent on context img\n    ONBUILD RUN x\n*1 1 on stage 0 needs [0]\n    RUN x\n",
		},
		{
			name: "a child stage runs no triggers of a parent that a context replaces", contexts: "parent",
			input: "FROM img AS parent\nONBUILD RUN x\nFROM parent\n",
			want:  "*1 1 on context parent\n",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, err := plan.New(parse(t, test.input), options(test.target, test.args, test.contexts))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.Trim(test.want, "\n"), strings.Trim(describe(p), "\n")); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
			if len(p.Warnings) > 0 {
				t.Errorf("warnings: %v", p.Warnings)
			}
		})
	}
}

func TestNewShowsWhereItCannot(t *testing.T) {
	for _, test := range []struct{ name, input, target, want string }{
		{
			"unknown target", "FROM a AS builder\nFROM b\n", "buidler",
			`Buildfile: no stage "buidler" to build, did you mean builder?`,
		},
		{
			"unknown target that is like none", "FROM a AS builder\nFROM b\n", "7",
			`Buildfile: no stage "7" to build, there is builder, 1 (FROM b)`,
		},
		{
			"unknown target of a file whose stage has no name", "ARG A=b\nFROM $A\n", "nope",
			`Buildfile: no stage "nope" to build, there is 0 (FROM $A)`,
		},
		{"circle", "FROM a AS x\nCOPY --from=y f /\nFROM x AS y\nRUN z\nFROM b\n", "", `
Buildfile:2: stages need each other: x → y → x
   1 │ FROM a AS x
   2 │ COPY --from=y f /
     │             ^`},
		{"copy from itself", "FROM a AS x\nCOPY --from=x f /\n", "", `
Buildfile:2: stages need each other: x → x
   1 │ FROM a AS x
   2 │ COPY --from=x f /
     │             ^`},
		{"stage number", "FROM a\nCOPY --from=3 f /\n", "", `
Buildfile:2: no stage 3, the last one is 0
   1 │ FROM a
   2 │ COPY --from=3 f /
     │             ^`},
		{"variable in COPY --from", "ARG S=x\nFROM a\nCOPY --from=$S f /\n", "", `
Buildfile:3: COPY --from takes no variables: give the name to a stage with FROM … AS and copy from that
   2 │ FROM a
   3 │ COPY --from=$S f /
     │             ^^`},
		{"image in COPY --from", "FROM a\nCOPY --from=Some/Image f /\n", "", `
Buildfile:2: "Some/Image" is no valid image name: invalid reference format: repository name (Image) must be lowercase
   1 │ FROM a
   2 │ COPY --from=Some/Image f /
     │             ^^^^^^^^^^`},
		{"blank base", "ARG BASE=x\nFROM ${BASEE}\n", "", `
Buildfile:2: FROM ${BASEE} names nothing: no ARG before the first FROM sets BASEE, did you mean BASE?
   1 │ ARG BASE=x
   2 │ FROM ${BASEE}
     │      ^^^^^^^^`},
		{"argument of a stage in FROM", "FROM a\nARG TAG=1\nFROM b:$TAG\n", "", `
Buildfile:3: "b:" is no valid image name: invalid reference format: no ARG before the first FROM sets TAG
   2 │ ARG TAG=1
   3 │ FROM b:$TAG
     │      ^^^^^^`},
		{"required argument", "FROM a\nFROM b:${TAG:?set it}\n", "", `
Buildfile:2: FROM requires either one or three arguments
   1 │ FROM a
   2 │ FROM b:${TAG:?set it}
     │ ^^^^^^^^^^^^^^^^^^^^^`},
		{"required argument without spaces", "FROM a\nFROM b:${TAG:?needed}\n", "", `
Buildfile:2: TAG: needed
   1 │ FROM a
   2 │ FROM b:${TAG:?needed}
     │      ^^^^^^^^^^^^^^^^`},
		{"default of a global argument", "ARG X=${Y?none}\nFROM a\n", "", `
Buildfile:1: Y: none
   1 │ ARG X=${Y?none}
     │       ^^^^^^^^^`},
		{"invalid base", "FROM a:b:c\n", "", `
Buildfile:1: "a:b:c" is no valid image name: invalid reference format
   1 │ FROM a:b:c
     │      ^^^^^`},
		{"platform", "FROM --platform=linux/foo/bar/baz a\n", "", `
Buildfile:1: platform "linux/foo/bar/baz" is not valid
   1 │ FROM --platform=linux/foo/bar/baz a
     │                 ^^^^^^^^^^^^^^^^^`},
		{"blank platform", "FROM --platform=$TARGETPLATFROM a\n", "", `
Buildfile:1: --platform=$TARGETPLATFROM names nothing: no ARG before the first FROM sets TARGETPLATFROM, did you mean TARGETPLATFORM?
   1 │ FROM --platform=$TARGETPLATFROM a
     │                 ^^^^^^^^^^^^^^^`},
	} {
		t.Run(test.name, func(t *testing.T) {
			f, err := buildfile.Parse("Buildfile", []byte(test.input))
			if err == nil {
				_, err = plan.New(f, options(test.target, "", ""))
			}
			if diff := cmp.Diff(strings.TrimPrefix(test.want, "\n"), fmt.Sprint(err)); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNewWarnsOfAPlatformThatAStageCannotHave(t *testing.T) {
	p, err := plan.New(parse(t, "FROM a AS x\nFROM --platform=linux/s390x x\n"), options("", "", ""))
	if err != nil {
		t.Fatal(err)
	}
	want := []buildfile.Warning{{Line: 2, Text: "platform linux/s390x is not used: stage x is for linux/arm/v7"}}
	if diff := cmp.Diff(want, p.Warnings); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

func TestGlobalArgs(t *testing.T) {
	input := "ARG A=1\nARG B=$A-$TARGETARCH\nARG C\nARG D\nARG TARGETOS=plan9\nFROM a\nARG E=5\n"
	p, err := plan.New(parse(t, input), options("", "D=4 BUILDOS=haiku", ""))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"A": "1", "B": "1-arm", "D": "4",
		"BUILDPLATFORM": "linux/amd64", "BUILDOS": "haiku", "BUILDOSVERSION": "", "BUILDARCH": "amd64", "BUILDVARIANT": "",
		"TARGETPLATFORM": "linux/arm/v7", "TARGETOS": "plan9", "TARGETOSVERSION": "", "TARGETARCH": "arm", "TARGETVARIANT": "v7",
		"TARGETSTAGE": "default",
	}
	if diff := cmp.Diff(want, p.GlobalArgs); diff != "" {
		t.Errorf("GlobalArgs (-want +got):\n%s", diff)
	}
}

func TestUnusedNamesArgumentsThatNothingDeclares(t *testing.T) {
	input := "ARG A\nFROM a AS x\nONBUILD ARG T\nFROM x\nARG B C=1\n"
	p, err := plan.New(parse(t, input), options("", "A=1 B=1 C=1 T=1 I=1 Z=1 Y=1 http_proxy=1 NO_PROXY=1 TARGETOS=x", ""))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"I", "Y", "Z"}, p.Unused()); diff != "" {
		t.Errorf("Unused (-want +got):\n%s", diff)
	}
	trigger(t, p, 0, "ARG I")
	if diff := cmp.Diff([]string{"Y", "Z"}, p.Unused()); diff != "" {
		t.Errorf("Unused after a trigger (-want +got):\n%s", diff)
	}
}

func TestNewOfThousandsOfStages(t *testing.T) {
	var input strings.Builder
	input.WriteString("FROM a AS s0\n")
	for i := range 5000 {
		fmt.Fprintf(&input, "FROM s%d AS s%d\nCOPY --from=%d f /\n", i, i+1, i/2)
	}
	p, err := plan.New(parse(t, input.String()), options("", "", ""))
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Stages) != 5001 || p.Target != 5000 {
		t.Errorf("%d stages, target %d; want 5001, 5000", len(p.Stages), p.Target)
	}
}

func FuzzNew(f *testing.F) {
	for _, seed := range []string{
		"FROM a AS x\nCOPY --from=y f /\nFROM x AS y\n", "ARG A=${B:-c}\nFROM --platform=$A $A\n",
		"FROM a AS x\nONBUILD COPY --from=1 f /\nFROM x\nFROM x\n", "FROM scratch AS scratch\nFROM deps\n",
	} {
		f.Add(seed, "x", "A=b", "deps")
	}
	f.Fuzz(func(t *testing.T, input, target, args, contexts string) {
		file, err := buildfile.Parse("Buildfile", []byte(input))
		if err != nil {
			return
		}
		p, err := plan.New(file, options(target, args, contexts))
		var placed *buildfile.Error
		if err != nil && !errors.As(err, &placed) {
			t.Errorf("%T is no *Error: %v", err, err)
		}
		if err == nil {
			describe(p) // indexes that are out of range panic here
		}
	})
}

func TestNewIsTheSameEachTime(t *testing.T) {
	input := "FROM a AS x\nFROM b AS y\nFROM c\nCOPY --from=y f /\nCOPY --from=x f /\n"
	seen := map[string]bool{}
	for range 20 {
		p, err := plan.New(parse(t, input), options("", "", ""))
		if err != nil {
			t.Fatal(err)
		}
		seen[describe(p)] = true
	}
	if len(seen) != 1 {
		t.Errorf("the plan differs from time to time:\n%s", strings.Join(slices.Sorted(maps.Keys(seen)), "\n"))
	}
}
