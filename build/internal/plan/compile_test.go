package plan_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/platforms"
	"github.com/google/go-cmp/cmp"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/lbuild/lbuild/build/internal/plan"
)

// image is what Compile has to know of an image. Its manifest is told from others by its name and platform.
func image(name, platform string, change func(*dockerspec.DockerOCIImage)) (plan.ImageRef, plan.BaseImage) {
	ref := plan.ImageRef{Name: name, Platform: platform}
	img := plan.BaseImage{Manifest: digest.FromString(name + " " + platform)}
	img.Config.Platform = platforms.MustParse(platform)
	if change != nil {
		change(&img.Config)
	}
	return ref, img
}

// compileOptions are for amd64, with the images that are known.
func compileOptions(images map[plan.ImageRef]plan.BaseImage) plan.Options {
	amd := platforms.MustParse("linux/amd64")
	return plan.Options{BuildPlatform: amd, TargetPlatform: amd, Images: images}
}

func known(names ...string) map[plan.ImageRef]plan.BaseImage {
	all := map[plan.ImageRef]plan.BaseImage{}
	for _, name := range names {
		for _, platform := range []string{"linux/amd64", "linux/arm64", "linux/s390x"} {
			ref, img := image(name, platform, nil)
			all[ref] = img
		}
	}
	return all
}

// graph writes a graph as text. A line is a node: its number, what it does, the one below, what it reads, "again" without
// the cache, and its steps. Images come behind, each with its history: "+" is before entries that may have a layer, and the
// number of the node behind.
func graph(g *plan.Graph) string {
	var out strings.Builder
	for _, n := range g.Nodes {
		fmt.Fprintf(&out, "%d %s", n.ID, operation(n.Op))
		if n.Below != nil {
			fmt.Fprintf(&out, " on %d", n.Below.ID)
		}
		for _, src := range n.Reads {
			fmt.Fprintf(&out, " reads %s", reads(src))
		}
		if n.NoCache {
			out.WriteString(" again")
		}
		var steps []string
		for _, s := range n.Steps {
			steps = append(steps, fmt.Sprintf("%s line %d", s.ID, s.Line))
		}
		fmt.Fprintln(&out, strings.TrimSuffix(" = "+strings.Join(steps, ", "), " = "))
	}
	for _, img := range g.Images {
		fmt.Fprintf(&out, "%s is %s", platforms.Format(img.Platform), number(img.Top))
		if img.BaseNode != nil {
			fmt.Fprintf(&out, " from %s %d", img.Base.Name, img.BaseNode.ID)
		}
		fmt.Fprintln(&out)
		for _, e := range img.History {
			fmt.Fprintf(&out, "  %s%s", map[bool]string{true: "+ "}[e.Layer], e.CreatedBy)
			if e.Base != nil {
				out.WriteString(" of the base")
			} else {
				fmt.Fprintf(&out, " %s", number(e.Node))
			}
			fmt.Fprintln(&out)
		}
	}
	for _, w := range g.Warnings {
		fmt.Fprintf(&out, "%d: %s\n", w.Line, w.Text)
	}
	return out.String()
}

func operation(op plan.Op) string {
	switch op := op.(type) {
	case *plan.Base:
		return "base " + op.Image.Name + " " + op.Image.Platform
	case *plan.Run:
		return "run " + op.Args[len(op.Args)-1] + " " + op.Platform
	case *plan.Copy:
		return strings.Join(slices.Concat([]string{op.Verb}, op.Sources, []string{op.Dest}), " ")
	case *plan.Workdir:
		return "workdir " + op.Dir
	}
	return fmt.Sprintf("%T", op)
}

func reads(src plan.Source) string {
	if src.Kind == plan.FromNode {
		return number(src.Node)
	}
	return strings.TrimSpace(string(src.Kind) + " " + src.Name)
}

func number(n *plan.Node) string {
	if n == nil {
		return "nothing"
	}
	return fmt.Sprint(n.ID)
}

func TestCompile(t *testing.T) {
	tests := []struct {
		name      string
		text      string
		platforms string
		again     []string // stages without the cache
		contexts  string
		want      string
	}{
		{
			name: "equal steps of two stages are one node",
			text: "FROM scratch AS a\nCOPY f /\nCOPY g /\nFROM scratch AS b\nCOPY f /\nCOPY h /\nCOPY --from=a g /\n",
			want: `0 COPY f / reads context = a 1/2 line 2, b 1/3 line 5
1 COPY g / on 0 reads context = a 2/2 line 3
2 COPY h / on 0 reads context = b 2/3 line 6
3 COPY g / on 2 reads 1 = b 3/3 line 7
linux/amd64 is 3
  + COPY f / 0
  + COPY h / 2
  + COPY g / 3
`,
		},
		{
			name: "equal steps in other places are not",
			text: "FROM img\nRUN x\nRUN x\nCOPY f /\nCOPY --from=scratch f /\n",
			want: `0 base img linux/amd64
1 run x linux/amd64 on 0 = 1/4 line 2
2 run x linux/amd64 on 1 = 2/4 line 3
3 COPY f / on 2 reads context = 3/4 line 4
4 COPY f / on 3 reads nothing = 4/4 line 5
linux/amd64 is 4 from img 0
  + RUN /bin/sh -c x 1
  + RUN /bin/sh -c x 2
  + COPY f / 3
  + COPY f / 4
`,
		},
		{
			name:      "two platforms share a stage of the build platform and nothing else",
			platforms: "linux/arm64 linux/s390x",
			text:      "FROM --platform=$BUILDPLATFORM img AS build\nRUN make\nFROM img\nCOPY --from=build o /\nRUN own\n",
			want: `0 base img linux/amd64
1 run make linux/amd64 on 0 = linux/amd64 build 1/1 line 2
2 base img linux/arm64
3 COPY o / on 2 reads 1 = linux/arm64 1 1/2 line 4
4 run own linux/arm64 on 3 = linux/arm64 1 2/2 line 5
5 base img linux/s390x
6 COPY o / on 5 reads 1 = linux/s390x 1 1/2 line 4
7 run own linux/s390x on 6 = linux/s390x 1 2/2 line 5
linux/arm64 is 4 from img 2
  + COPY o / 3
  + RUN /bin/sh -c own 4
linux/s390x is 7 from img 5
  + COPY o / 6
  + RUN /bin/sh -c own 7
`,
		},
		{
			name:      "two platforms do not share a step that sees the target, nor its ID",
			platforms: "linux/arm64 linux/s390x",
			text:      "FROM --platform=$BUILDPLATFORM img AS build\nRUN get\nARG TARGETARCH\nRUN make\nFROM scratch\nCOPY --from=build o /\n",
			want: `0 base img linux/amd64
1 run get linux/amd64 on 0 = linux/amd64 build 1/3 line 2
2 run make linux/amd64 on 1 = linux/amd64 build 3/3 line 4
3 COPY o / reads 2 = linux/arm64 1 1/1 line 6
4 run make linux/amd64 on 1 = linux/amd64 build 3/3 for linux/s390x line 4
5 COPY o / reads 4 = linux/s390x 1 1/1 line 6
linux/arm64 is 3
  + COPY o / 3
linux/s390x is 5
  + COPY o / 5
`,
		},
		{
			name:      "two platforms share files, but no command that sees its platform",
			platforms: "linux/arm64 linux/s390x",
			text:      "FROM scratch\nCOPY f /\nRUN [\"f\"]\n",
			want: `0 COPY f / reads context = linux/arm64 1/2 line 2, linux/s390x 1/2 line 2
1 run f linux/arm64 on 0 = linux/arm64 2/2 line 3
2 run f linux/s390x on 0 = linux/s390x 2/2 line 3
linux/arm64 is 1
  + COPY f / 0
  + RUN f 1
linux/s390x is 2
  + COPY f / 0
  + RUN f 2
`,
		},
		{
			name:  "stages without the cache, by name in any case or by number, and one that is not there",
			text:  "FROM scratch AS One\nCOPY a /\nFROM scratch AS two\nCOPY b /\nFROM scratch\nCOPY c /\nCOPY --from=one a /\nCOPY --from=two b /\n",
			again: []string{"oNE", "2", "tow"},
			want: `0 COPY a / reads context again = one 1/1 line 2
1 COPY b / reads context = two 1/1 line 4
2 COPY c / reads context again = 2 1/3 line 6
3 COPY a / on 2 reads 0 again = 2 2/3 line 7
4 COPY b / on 3 reads 1 again = 2 3/3 line 8
linux/amd64 is 4
  + COPY c / 2
  + COPY a / 3
  + COPY b / 4
0: there is no stage tow to run without the cache
`,
		},
		{
			name:  "a stage that has a name is also known by its number",
			text:  "FROM scratch AS one\nCOPY a /\n",
			again: []string{"0"},
			want:  "0 COPY a / reads context again = one 1/1 line 2\nlinux/amd64 is 0\n  + COPY a / 0\n",
		},
		{
			name:  "a node of two stages runs again where one of them does",
			text:  "FROM scratch AS a\nCOPY f /\nFROM scratch AS b\nCOPY f /\nCOPY --from=a f /g\n",
			again: []string{"a"},
			want: `0 COPY f / reads context again = a 1/1 line 2, b 1/2 line 4
1 COPY f /g on 0 reads 0 = b 2/2 line 5
linux/amd64 is 1
  + COPY f / 0
  + COPY f /g 1
`,
		},
		{
			name: "entries of the history have the node that they come after",
			text: "FROM img AS a\nENV A=1\nWORKDIR /w\nENV B=2\nFROM a\nWORKDIR /\nCOPY f .\nCMD [\"x\"]\n",
			want: `0 base img linux/amd64
1 workdir /w on 0 = a 2/3 line 3
2 COPY f / on 1 reads context = 1 2/3 line 7
linux/amd64 is 2 from img 0
  ENV A=1 0
  + WORKDIR /w 1
  ENV B=2 1
  WORKDIR / 1
  + COPY f . 2
  CMD ["x"] 2
`,
		},
		{
			name: "an image that a COPY reads is a node",
			text: "FROM scratch\nENV A=1\nCOPY --from=tools t /\nCOPY --from=tools u /\nADD a.tar /\n",
			want: `0 base tools linux/amd64
1 COPY t / reads 0 = 2/4 line 3
2 COPY u / on 1 reads 0 = 3/4 line 4
3 ADD a.tar / on 2 reads context = 4/4 line 5
linux/amd64 is 3
  ENV A=1 nothing
  + COPY t / 1
  + COPY u / 2
  + ADD a.tar / 3
`,
		},
		{
			name:     "named contexts: a directory in place of a stage, and one that a COPY reads",
			contexts: "a lib",
			text:     "FROM img AS a\nRUN never\nFROM a\nCOPY --from=lib f /\n",
			want: `0 FROM . / reads directory a = 1 0/1 line 0
1 COPY f / on 0 reads directory lib = 1 1/1 line 4
linux/amd64 is 1
  + FROM a 0
  + COPY f / 1
`,
		},
		{name: "nothing", text: "FROM scratch\nCMD [\"x\"]\n", want: "linux/amd64 is nothing\n  CMD [\"x\"] nothing\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := compileOptions(known("img", "tools"))
			o.NoCacheStages, o.Contexts = test.again, options("", "", test.contexts).Contexts
			for _, p := range strings.Fields(test.platforms) {
				o.Platforms = append(o.Platforms, platforms.MustParse(p))
			}
			g, needs, err := plan.Compile(parse(t, test.text), o)
			if err != nil || len(needs) > 0 {
				t.Fatalf("needs %v, error %v", needs, err)
			}
			if diff := cmp.Diff(test.want, graph(g)); diff != "" {
				t.Errorf("graph (-want +got):\n%s", diff)
			}
		})
	}
}

// TestTriggersOfAnImageBringStagesIn compiles again and again, as long as there are images that are not known.
func TestTriggersOfAnImageBringStagesIn(t *testing.T) {
	f := parse(t, "FROM tools AS t\nRUN make\nFROM other AS unused\nFROM base AS top\nENV A=1\n")
	o := compileOptions(map[plan.ImageRef]plan.BaseImage{})
	var asked []string
	for range 10 {
		g, needs, err := plan.Compile(f, o)
		if err != nil {
			t.Fatal(err)
		}
		if g != nil {
			want := `0 base tools linux/amd64
1 run make linux/amd64 on 0 = t 1/1 line 2
2 base base linux/amd64
3 COPY o / on 2 reads 1 = top 1/3 line 4
4 base files linux/amd64
5 COPY x / on 3 reads 4 = top 2/3 line 4
linux/amd64 is 5 from base 2
  + COPY o / 3
  + COPY x / 5
  ENV A=1 5
`
			if diff := cmp.Diff(want, graph(g)); diff != "" {
				t.Errorf("graph (-want +got):\n%s", diff)
			}
			if onBuild := g.Images[0].Config.Config.OnBuild; onBuild != nil {
				t.Errorf("the image has the triggers of its base: %q", onBuild)
			}
			break
		}
		for _, n := range needs {
			asked = append(asked, fmt.Sprintf("%s %s line %d", n.Name, n.Platform, n.Location[0].Start.Line))
			ref, img := image(n.Name, n.Platform, func(c *dockerspec.DockerOCIImage) {
				if n.Name == "base" {
					c.Config.OnBuild = []string{"COPY --from=t o /", "COPY --from=files x /"}
				}
			})
			o.Images[ref] = img
		}
	}
	if want := []string{"base linux/amd64 line 4", "files linux/amd64 line 4", "tools linux/amd64 line 1"}; !slices.Equal(asked, want) {
		t.Errorf("asked for %q, want %q", asked, want)
	}
}

func TestCompileAsksForAnImageOnceForEachPlatform(t *testing.T) {
	o := compileOptions(nil)
	o.Platforms = []ocispec.Platform{platforms.MustParse("linux/arm64"), platforms.MustParse("linux/s390x")}
	_, needs, err := plan.Compile(parse(t, "FROM --platform=$BUILDPLATFORM a AS b\nFROM a\nCOPY --from=b x /\nCOPY --from=a y /\n"), o)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, n := range needs {
		got = append(got, n.Name+" "+n.Platform)
	}
	if want := []string{"a linux/amd64", "a linux/arm64", "a linux/s390x"}; !slices.Equal(got, want) {
		t.Errorf("needs %q, want %q", got, want)
	}
}

func TestHistoryAndConfigGoOnFromTheBase(t *testing.T) {
	created := time.Unix(1000, 0).UTC()
	ref, img := image("img", "linux/amd64", func(c *dockerspec.DockerOCIImage) {
		c.Created = &created
		c.History = []ocispec.History{{CreatedBy: "first"}, {CreatedBy: "second", EmptyLayer: true}}
		c.RootFS.DiffIDs = []digest.Digest{digest.FromString("first"), digest.FromString("more")}
		c.Config.Env, c.Config.Labels = []string{"A=1"}, map[string]string{"a": "1"}
	})
	images := map[plan.ImageRef]plan.BaseImage{ref: img}
	g, _, err := plan.Compile(parse(t, "FROM img\nENV A=2\nLABEL b=2\nRUN x\n"), compileOptions(images))
	if err != nil {
		t.Fatal(err)
	}
	want := `0 base img linux/amd64
1 run x linux/amd64 on 0 = 3/3 line 4
linux/amd64 is 1 from img 0
  first of the base
  second of the base
   of the base
  ENV A=2 0
  LABEL b=2 0
  + RUN /bin/sh -c x 1
`
	if diff := cmp.Diff(want, graph(g)); diff != "" {
		t.Errorf("graph (-want +got):\n%s", diff)
	}
	top := g.Images[0]
	if e := top.History[3]; e.Created == nil || !e.Created.Equal(created) {
		t.Errorf("an entry that only changes the config was created %v, want the base's time", e.Created)
	}
	if got := g.Nodes[0].Op.(*plan.Base); got.Manifest != img.Manifest || got.ChainID == "" || got.ChainID == img.Config.RootFS.DiffIDs[0] {
		t.Errorf("the base is %+v", got)
	}
	if diff := cmp.Diff(map[string]string{"a": "1", "b": "2"}, top.Config.Config.Labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	if was := images[ref].Config; len(was.Config.Labels) != 1 || was.Config.Env[0] != "A=1" || len(was.History) != 2 {
		t.Errorf("the base's config became %+v", was)
	}
}

func TestABaseForAnotherPlatform(t *testing.T) {
	for _, test := range []struct {
		have, want, warning, err string
	}{
		{have: "linux/amd64", want: "linux/amd64"},
		{have: "linux/arm/v6", want: "linux/arm/v7"},
		{have: "linux/arm64", want: "linux/amd64", warning: "img is an image for linux/arm64, not for linux/amd64"},
		{have: "windows/amd64", want: "linux/amd64", err: "img is an image for windows/amd64, not for linux/amd64"},
	} {
		p := platforms.Normalize(platforms.MustParse(test.want))
		ref := plan.ImageRef{Name: "img", Platform: platforms.FormatAll(p)}
		_, img := image("img", test.have, nil)
		o := compileOptions(map[plan.ImageRef]plan.BaseImage{ref: img})
		o.Platforms = []ocispec.Platform{p}
		g, needs, err := plan.Compile(parse(t, "FROM img\nRUN x\n"), o)
		if len(needs) > 0 || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), "Buildfile:1: "+test.err) {
			t.Errorf("%s for %s: needs %v, error is %v, want %q", test.have, test.want, needs, err, test.err)
		}
		if err != nil {
			continue
		}
		warnings := ""
		for _, w := range g.Warnings {
			warnings += w.Text
		}
		if warnings != test.warning {
			t.Errorf("%s for %s: warning %q, want %q", test.have, test.want, warnings, test.warning)
		}
	}
}

// TestAFileServesSeveralPlatformsAtOnce compiles one File side by side. The race detector sees more.
func TestAFileServesSeveralPlatformsAtOnce(t *testing.T) {
	text := `ARG V=${TARGETARCH}
FROM img AS a
ARG V TARGETARCH
ARG W=$TARGETARCH X=$V
ENV E=$V
LABEL l=$W
EXPOSE ${PORT:-80}
ONBUILD RUN trigger $E
RUN <<EOF
echo $V
EOF
FROM a
WORKDIR /$E
COPY --chown=$E a$E /$E/
COPY <<EOF /$E
$E
EOF
ADD b$E .
CMD echo $E
`
	f, untouched := parse(t, text), parse(t, text)
	var all sync.WaitGroup
	graphs := make([]string, 6)
	for i := range graphs {
		all.Go(func() {
			o := compileOptions(known("img"))
			o.Platforms = []ocispec.Platform{platforms.MustParse([]string{"linux/arm64", "linux/s390x"}[i%2])}
			g, _, err := plan.Compile(f, o)
			if err != nil {
				t.Error(err)
				return
			}
			graphs[i] = graph(g)
		})
	}
	all.Wait()
	for i, arch := range []string{"arm64", "s390x", "arm64", "s390x", "arm64", "s390x"} {
		if !strings.Contains(graphs[i], "COPY a"+arch+" /"+arch+"/") || graphs[i] != graphs[i%2] {
			t.Errorf("graph for %s:\n%s", arch, graphs[i])
		}
	}
	if !reflect.DeepEqual(f.Stages, untouched.Stages) || !reflect.DeepEqual(f.Args, untouched.Args) {
		t.Error("compiling changed the File")
	}
}
