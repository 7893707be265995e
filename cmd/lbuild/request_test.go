package main

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"

	"github.com/lbuild/lbuild/build"
	"github.com/lbuild/lbuild/diff"
	"github.com/lbuild/lbuild/diff/compress"
)

// parseBuild turns a command line into a request, as "lbuild ARGS" would.
func parseBuild(t *testing.T, env map[string]string, args ...string) (build.Request, error) {
	t.Helper()
	a := &app{
		stdin: strings.NewReader(""), stdout: &bytes.Buffer{}, stderr: &bytes.Buffer{},
		lookupEnv: func(name string) (string, bool) { value, ok := env[name]; return value, ok },
	}
	root := &cobra.Command{Use: "lbuild", SilenceErrors: true, SilenceUsage: true}
	a.globalFlags(root.PersistentFlags())
	var req build.Request
	f := &buildFlags{progress: progressAuto}
	cmd := &cobra.Command{Use: "build", Args: cobra.ExactArgs(1), RunE: func(_ *cobra.Command, args []string) (err error) {
		req, err = a.buildRequest(f, args[0])
		return err
	}}
	f.register(cmd)
	root.AddCommand(cmd)
	root.SetArgs(append([]string{"build"}, args...))
	return req, root.ExecuteContext(context.Background())
}

func TestFlagsBecomeARequest(t *testing.T) {
	gzip, _ := compress.Parse("gzip")
	zstd, _ := compress.Parse("zstd:9")
	epoch := time.Unix(1700000000, 0).UTC()
	plain := func(change func(*build.Request)) build.Request {
		req := build.Request{Context: ".", Network: "default", Compression: gzip}
		change(&req)
		return req
	}
	env := map[string]string{"HTTP_PROXY": "http://proxy:1", "EMPTY": "", "SOURCE_DATE_EPOCH": ""}
	for name, test := range map[string]struct {
		args []string
		want build.Request
	}{
		"nothing": {nil, plain(func(*build.Request) {})},
		"file, target": {
			[]string{"-f", "docker/Buildfile", "--target=test"},
			plain(func(r *build.Request) { r.Buildfile, r.Target = "docker/Buildfile", "test" }),
		},
		"build arguments, from the environment, too": {
			[]string{"--build-arg", "A=1=2", "--build-arg", "B=", "--build-arg", "HTTP_PROXY", "--build-arg", "EMPTY", "--build-arg", "UNSET", "--build-arg", "C=x,y"},
			plain(func(r *build.Request) {
				r.Args = map[string]string{"A": "1=2", "B": "", "HTTP_PROXY": "http://proxy:1", "EMPTY": "", "C": "x,y"}
			}),
		},
		"labels": {
			[]string{"--label", "a=b=c", "--label", "empty"},
			plain(func(r *build.Request) { r.Labels = map[string]string{"a": "b=c", "empty": ""} }),
		},
		"platforms": {
			[]string{"--platform", "linux/arm/v7,linux/amd64", "--platform", "linux/s390x"},
			plain(func(r *build.Request) {
				r.Platforms = []ocispec.Platform{
					{OS: "linux", Architecture: "arm", Variant: "v7"}, {OS: "linux", Architecture: "amd64"}, {OS: "linux", Architecture: "s390x"},
				}
			}),
		},
		"ulimits": {
			[]string{"--ulimit", "nofile=1024:2048", "--ulimit", "core=0", "--ulimit", "nofile=10"},
			plain(func(r *build.Request) {
				r.Ulimits = []build.Ulimit{{Name: "core"}, {Name: "nofile", Soft: 10, Hard: 10}}
			}),
		},
		"contexts": {
			[]string{"--build-context", "base=oci-layout://d:tag=1", "--build-context", "src=../src"},
			plain(func(r *build.Request) {
				r.Contexts = map[string]string{"base": "oci-layout://d:tag=1", "src": "../src"}
			}),
		},
		"cache": {
			[]string{"--no-cache", "--no-cache-filter", "a,b", "--no-cache-filter", "c", "--pull"},
			plain(func(r *build.Request) {
				r.NoCache, r.NoCacheStages, r.Pull = true, []string{"a", "b", "c"}, true
			}),
		},
		"what steps see": {
			[]string{"--network", "none", "--add-host", "a:10.0.0.1", "--add-host", "b=[::1]", "--add-host", "c:fe80::1", "--shm-size", "128m"},
			plain(func(r *build.Request) {
				r.Network, r.ShmSize = "none", 128<<20
				r.Hosts = []build.Host{{Name: "a", IP: "10.0.0.1"}, {Name: "b", IP: "::1"}, {Name: "c", IP: "fe80::1"}}
			}),
		},
		"tags and outputs": {
			[]string{"-t", "a:1", "-t", "b", "-o", "out", "-o", "type=image", "--push"},
			plain(func(r *build.Request) {
				r.Tags = []string{"a:1", "b"}
				r.Outputs = []build.Output{{Type: build.OutputLocal, Dest: "out"}, {Type: build.OutputImage}, {Type: build.OutputRegistry}}
			}),
		},
		"packing": {
			[]string{"--compression", "zstd:9", "--whiteouts", "explicit", "--source-date-epoch", "1700000000"},
			plain(func(r *build.Request) { r.Compression, r.Whiteouts, r.Epoch = zstd, diff.Explicit, &epoch }),
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseBuild(t, env, append(test.args, ".")...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestSourceDateEpochComesFromTheEnvironmentUnlessTheFlagSaysOtherwise(t *testing.T) {
	env := map[string]string{"SOURCE_DATE_EPOCH": "5"}
	for flag, want := range map[string]int64{"": 5, "7": 7, "0": 0} {
		args := []string{"."}
		if flag != "" {
			args = append(args, "--source-date-epoch", flag)
		}
		req, err := parseBuild(t, env, args...)
		if err != nil {
			t.Fatal(err)
		}
		if req.Epoch == nil || req.Epoch.Unix() != want {
			t.Errorf("flag %q: got %v, want %d", flag, req.Epoch, want)
		}
	}
}

func TestDashIsStdinOrStdout(t *testing.T) {
	req, err := parseBuild(t, nil, "-o", "-", "-")
	if err != nil {
		t.Fatal(err)
	}
	if req.ContextTar == nil || req.Context != "" {
		t.Errorf("the context is %q and not stdin", req.Context)
	}
	if len(req.Outputs) != 1 || req.Outputs[0].Writer == nil {
		t.Errorf("got %+v, want one output that writes to stdout", req.Outputs)
	}
}

func TestBuildfileOnStdin(t *testing.T) {
	a := &app{stdin: strings.NewReader("FROM scratch\n")}
	var req build.Request
	if err := a.readBuildfile(&req); err != nil {
		t.Fatal(err)
	}
	want := build.Request{Buildfile: "<stdin>", BuildfileText: []byte("FROM scratch\n")}
	if diff := cmp.Diff(want, req); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	a.stdin = strings.NewReader("")
	if err := a.readBuildfile(&req); err != nil || req.BuildfileText == nil {
		t.Errorf("an empty Buildfile gives %v and %v, want text that is not nil", req.BuildfileText, err)
	}
	a.stdin = io.LimitReader(endless{}, maxBuildfile+1)
	if err := a.readBuildfile(&req); err == nil {
		t.Error("a Buildfile without end was taken")
	}
}

// endless is a stream of comments.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '#'
	}
	return len(p), nil
}

func TestFlagsThatCannotBeHonouredAreErrors(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"unknown flag":          {[]string{"--ssh", "default", "."}, "unknown flag: --ssh"},
		"no context":            {nil, "accepts 1 arg"},
		"stdin twice":           {[]string{"-f", "-", "-"}, "not both"},
		"stdout twice":          {[]string{"-o", "-", "-o", "type=oci,dest=-", "."}, "only one output can go to stdout"},
		"build argument":        {[]string{"--build-arg", "=x", "."}, `"=x" has no name`},
		"label":                 {[]string{"--label", "=x", "."}, `"=x" has no key`},
		"context without value": {[]string{"--build-context", "base", "."}, `"base" is not NAME=VALUE`},
		"platform":              {[]string{"--platform", "a/b/c/d", "."}, "is not OS/ARCH"},
		"network":               {[]string{"--network", "bridge", "."}, "neither host nor none"},
		"host without address":  {[]string{"--add-host", "a", "."}, "is not NAME:IP"},
		"host with a name":      {[]string{"--add-host", "a:host-gateway", "."}, "is not an IP address"},
		"size":                  {[]string{"--shm-size", "big", "."}, "is not a size"},
		"size of nothing":       {[]string{"--shm-size", "0", "."}, "is not a size"},
		"jobs":                  {[]string{"--jobs", "-1", "."}, "less than one"},
		"memory":                {[]string{"--memory-budget", "much", "."}, "is not a size such as 64m"},
		"memory of nothing":     {[]string{"--memory-budget", "0", "."}, "is not a size such as 64m"},
		"memory for no layer":   {[]string{"--memory-budget", "1m", "."}, "a memory budget of 1MiB is too small: to pack a layer as gzip"},
		"memory for one output": {[]string{"--memory-budget", "20m", "-o", "type=oci,dest=o,compression=zstd", "."}, "to pack a layer as zstd"},
		"tag":                   {[]string{"-t", "A:b:c", "."}, "invalid reference format"},
		"tag with digest":       {[]string{"-t", "a@sha256:" + zeros, "."}, "a digest cannot be chosen"},
		"compression":           {[]string{"--compression", "brotli", "."}, "--compression"},
		"compression level":     {[]string{"--compression", "gzip:10", "."}, "--compression"},
		"whiteouts":             {[]string{"--whiteouts", "none", "."}, "neither opaque nor explicit"},
		"epoch":                 {[]string{"--source-date-epoch", "today", "."}, "is not a number of seconds"},
		"progress":              {[]string{"--progress", "fancy", "."}, "want one of auto"},
		"push without a name":   {[]string{"--push", "."}, "pushing needs a --tag"},
		"image ID of files":     {[]string{"--iidfile", "id", "-o", "out", "."}, "--iidfile needs"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseBuild(t, nil, test.args...)
			if err == nil {
				t.Fatalf("no error, want one with %q", test.want)
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %q, want it to have %q", err, test.want)
			}
		})
	}
}
