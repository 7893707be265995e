package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"

	"github.com/lbuild/lbuild/build"
	"github.com/lbuild/lbuild/build/images"
)

func TestTheSummaryAlignsItsColumns(t *testing.T) {
	var out bytes.Buffer
	writeSummary(&out, 0, &build.Result{
		Names:   []string{"docker.io/library/app:1", "example.com:5000/app:1"},
		Packing: build.Work{Seconds: 6.2, Hidden: 5.1}, Pushing: build.Work{Seconds: 0.01},
		Platforms: []build.PlatformResult{{Layers: []build.Layer{
			{Base: true, Cached: true, CreatedBy: "/bin/sh -c #(nop) ADD file:abc in / ", Size: 48_000_000},
			{Line: 3, CreatedBy: "RUN apt-get update && apt-get install -y --no-install-recommends make", Size: 1_234_567, UncompressedSize: 98_765_432, Seconds: 75, PackSeconds: 1.26, Unchanged: 2, UnchangedBytes: 12_000_000},
			{Line: 12, CreatedBy: "COPY 漢字 /\x1b[2J", Size: 120, UncompressedSize: 2048, Cached: true, Unchanged: 1, UnchangedBytes: 345_678},
		}}},
	})
	golden(t, "summary.golden", out.Bytes())
}

func TestTheSummaryFitsTheTerminal(t *testing.T) {
	layers := []build.Layer{
		{Line: 123, CreatedBy: "RUN " + strings.Repeat("long ", 50), Size: 999_999_999, UncompressedSize: 999_999_999, Seconds: 599, PackSeconds: 599},
		{Line: 3, CreatedBy: "COPY a /", Cached: true},
	}
	for _, width := range []int{62, 80, 100} {
		var out bytes.Buffer
		writeSummary(&out, width, &build.Result{Platforms: []build.PlatformResult{{Layers: layers}}})
		for line := range strings.Lines(out.String()) {
			if got := ansi.StringWidth(line); got > width {
				t.Errorf("%d cells on a terminal of %d: %s", got, width, line)
			}
		}
		if !strings.Contains(out.String(), "RUN long") {
			t.Errorf("a terminal of %d cells shows no step:\n%s", width, &out)
		}
	}
}

func TestListsHaveDockersColumns(t *testing.T) {
	one, two := digest.FromString("one"), digest.FromString("two")
	list := []images.Info{
		{Name: "docker.io/library/app:1", Digest: one, Config: two, Platform: "linux/amd64", Created: clock.Add(-49 * time.Hour), Size: 12_345},
		{Name: "example.com/app@" + two.String(), Digest: two, Config: one, Created: time.Unix(0, 0), Size: 1},
		{Digest: one, Config: one, Labels: map[string]string{"html": "<&>"}},
	}
	entries := []images.HistoryEntry{
		{Image: two, Created: clock, CreatedBy: "CMD [\"sh\"]", EmptyLayer: true},
		{Created: clock, CreatedBy: "RUN a\n\tb   c && a command that is longer than a line of the table may be", Size: 99, Digest: one, DiffID: two, Comment: "c"},
	}
	detail := []images.Detail{{
		Names: []string{"docker.io/library/app:1"}, Manifest: ocispec.Descriptor{Digest: one, MediaType: ocispec.MediaTypeImageManifest},
		Config: ocispec.Descriptor{Digest: two},
		Image: dockerspec.DockerOCIImage{Config: dockerspec.DockerOCIImageConfig{ImageConfig: ocispec.ImageConfig{
			User: "1000", Cmd: []string{"sh", "-c", "a b"}, Labels: map[string]string{"b": "2", "a": "1\n\x1b[2J"},
			ExposedPorts: map[string]struct{}{"80/tcp": {}, "443/tcp": {}},
		}, DockerOCIImageConfigExt: dockerspec.DockerOCIImageConfigExt{
			Shell: []string{"bash", "-c"}, OnBuild: []string{"RUN a", "USER b"}, Healthcheck: &dockerspec.HealthcheckConfig{
				Test: []string{"CMD-SHELL", "curl -f localhost || exit 1"}, Interval: 90 * time.Second, Retries: 3,
			},
		}}},
		Layers: []images.LayerDetail{{DiffID: one, Digest: two, Size: 7, ChainID: one, Directory: "/r/snapshots/1/fs"}},
	}}
	now := clock.Add(time.Minute)
	for name, write := range map[string]func(*bytes.Buffer) error{
		"images":          func(w *bytes.Buffer) error { return (&listFlags{}).writeImages(w, list, now) },
		"images-no-trunc": func(w *bytes.Buffer) error { return (&listFlags{noTrunc: true}).writeImages(w, list, now) },
		"images-quiet":    func(w *bytes.Buffer) error { return (&listFlags{quiet: true}).writeImages(w, list, now) },
		"images-json":     func(w *bytes.Buffer) error { return (&listFlags{format: formatJSON}).writeImages(w, list, now) },
		"history":         func(w *bytes.Buffer) error { return (&listFlags{}).writeHistory(w, entries, now) },
		"history-no-trunc": func(w *bytes.Buffer) error {
			return (&listFlags{noTrunc: true}).writeHistory(w, entries, now)
		},
		"history-quiet": func(w *bytes.Buffer) error { return (&listFlags{quiet: true}).writeHistory(w, entries, now) },
		"history-json":  func(w *bytes.Buffer) error { return (&listFlags{format: formatJSON}).writeHistory(w, entries, now) },
		"inspect":       func(w *bytes.Buffer) error { return writeDetails(w, detail, formatTable) },
		"inspect-json":  func(w *bytes.Buffer) error { return writeDetails(w, detail, formatJSON) },
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := write(&out); err != nil {
				t.Fatal(err)
			}
			golden(t, "lists/"+name+".golden", out.Bytes())
		})
	}
}

func TestHealthchecksAreShownAsInABuildfile(t *testing.T) {
	for _, c := range []struct {
		check *dockerspec.HealthcheckConfig
		want  string
	}{
		{nil, ""},
		{&dockerspec.HealthcheckConfig{}, ""},
		{&dockerspec.HealthcheckConfig{Test: []string{"NONE"}}, "NONE"},
		{&dockerspec.HealthcheckConfig{Test: []string{"CMD", "curl", "a b"}}, `CMD ["curl","a b"]`},
		{
			&dockerspec.HealthcheckConfig{
				Test: []string{"CMD-SHELL", "true"}, Interval: time.Minute, Timeout: 5 * time.Second,
				StartPeriod: time.Second, StartInterval: time.Millisecond, Retries: 2,
			},
			"--interval=1m0s --timeout=5s --start-period=1s --start-interval=1ms --retries=2 CMD true",
		},
	} {
		if got := healthcheck(c.check); got != c.want {
			t.Errorf("%+v is %q, want %q", c.check, got, c.want)
		}
	}
}
