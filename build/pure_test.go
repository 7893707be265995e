package build

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/lbuild/lbuild/build/event"
)

func TestPortRangeListsEachPort(t *testing.T) {
	for _, test := range []struct {
		spec string
		want []string // nil: an error
	}{
		{"80", []string{"80/tcp"}},
		{"53/udp", []string{"53/udp"}},
		{"53/UDP", []string{"53/udp"}},
		{"7000-7002", []string{"7000/tcp", "7001/tcp", "7002/tcp"}},
		{"8080:80", []string{"80/tcp"}},
		{"", nil},
		{"http", nil},
		{"70000", nil},
		{"2-1", nil},
		{"80/icmp", nil},
	} {
		got, err := portRange(test.spec)
		if (err != nil) != (test.want == nil) || !slices.Equal(got, test.want) {
			t.Errorf("%q gives %v, %v; want %v", test.spec, got, err, test.want)
		}
	}
}

func TestDestinationsAreBelowTheWorkingDirectory(t *testing.T) {
	for _, test := range []struct{ dir, dest, want string }{
		{"", "a", "/a"},
		{"/w", "a", "/w/a"},
		{"/w", "./a/", "/w/a/"},
		{"/w", ".", "/w/"},
		{"/w", "", "/w/"},
		{"/w", "..", "/"},
		{"/w", "/a/.", "/a/"},
		{"/w", "/a/../b", "/b"},
		{"/w", "../../../etc/", "/etc/"},
		{"w", "a", "/w/a"},
	} {
		st := &stage{}
		st.image.Config.WorkingDir = test.dir
		if got := st.absolute(test.dest); got != test.want {
			t.Errorf("%q in %q is %q, want %q", test.dest, test.dir, got, test.want)
		}
	}
}

func TestCutSelectorKeepsColonsOfPaths(t *testing.T) {
	for _, test := range []struct{ ref, dir, selector string }{
		{"/a/b", "/a/b", ""},
		{"/a/b:1.0", "/a/b", "1.0"},
		{"/a:1/b", "/a:1/b", ""},
		{"/a:1/b:2", "/a:1/b", "2"},
		{"b@sha256:00", "b", "@sha256:00"},
		{"/a:1/b@sha256:00", "/a:1/b", "@sha256:00"},
		{"/home/me@host/b", "/home/me@host/b", ""},
		{"/home/me@host/b:1", "/home/me@host/b", "1"},
	} {
		if dir, selector := cutSelector(test.ref); dir != test.dir || selector != test.selector {
			t.Errorf("%q gives %q and %q, want %q and %q", test.ref, dir, selector, test.dir, test.selector)
		}
	}
}

func TestSetVarReplacesInPlaceAndLeavesTheOldListAlone(t *testing.T) {
	old := []string{"A=1", "B=2"}
	if got, want := setVar(old, "A", "3"), []string{"A=3", "B=2"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got, want := setVar(old, "C", ""), []string{"A=1", "B=2", "C="}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if want := []string{"A=1", "B=2"}; !slices.Equal(old, want) {
		t.Errorf("the old list became %v", old)
	}
}

func TestProxiesAreNeitherInHistoryNorInKeys(t *testing.T) {
	value := "x"
	args := []instructions.KeyValuePairOptional{{Key: "HTTP_PROXY", Value: &value}, {Key: "V", Value: &value}, {Key: "W"}}
	vars := []string{"HTTP_PROXY=http://user:secret@proxy", "V=1", "no_proxy=a", "Http_Proxy=kept"}
	if got, want := visibleArgs(args, vars), []string{"V=1", "W="}; !slices.Equal(got, want) {
		t.Errorf("visible: %v, want %v", got, want)
	}
	if got, want := withoutProxies(vars), []string{"V=1", "Http_Proxy=kept"}; !slices.Equal(got, want) {
		t.Errorf("without proxies: %v, want %v", got, want)
	}
}

func TestRUNSeesAProxyInBothCasesUnlessItIsSet(t *testing.T) {
	args := map[string]string{"HTTP_PROXY": "a", "no_proxy": "b", "NO_PROXY": "c", "https_proxy": "d", "V": "e"}
	st := &stage{s: &session{argValues: args}, vars: []string{"HTTPS_PROXY=env"}}
	want := []string{"HTTPS_PROXY=env", "HTTP_PROXY=a", "NO_PROXY=c", "https_proxy=d", "no_proxy=b", "http_proxy=a"}
	if diff := cmp.Diff(want, st.runEnv()); diff != "" {
		t.Error(diff)
	}
}

func TestHeredocsBecomeWhatIsExecuted(t *testing.T) {
	for _, test := range []struct {
		name    string
		line    string
		files   []instructions.ShellInlineFile
		want    string
		scripts int
	}{
		{"none", "echo a", nil, "echo a", 0},
		{"document", "<<EOF", []instructions.ShellInlineFile{{Name: "EOF", Data: "echo a\necho b\n"}}, "echo a\necho b\n", 0},
		{"script", "<<EOF", []instructions.ShellInlineFile{{Name: "EOF", Data: "#!/bin/awk\n"}}, "/dev/pipes/EOF", 1},
		{"input", "cat <<A <<B", []instructions.ShellInlineFile{{Name: "A", Data: "1\n"}, {Name: "B", Data: "2\n"}}, "cat <<A <<B\n1\nA\n2\nB", 0},
		{"chomped", "<<-EOF", []instructions.ShellInlineFile{{Name: "EOF", Data: "\techo a\n", Chomp: true}}, "echo a\n", 0},
	} {
		c, scripts := heredocs(instructions.ShellDependantCmdLine{CmdLine: []string{test.line}, Files: test.files, PrependShell: true})
		if len(c.CmdLine) != 1 || c.CmdLine[0] != test.want || len(scripts) != test.scripts {
			t.Errorf("%s: %q with %d scripts, want %q with %d", test.name, c.CmdLine, len(scripts), test.want, test.scripts)
		}
	}
}

func TestHistoryIsMadeToSpeakOfEachLayer(t *testing.T) {
	layers := func(n int) []digest.Digest { return make([]digest.Digest, n) }
	entry := func(empty bool) ocispec.History { return ocispec.History{EmptyLayer: empty} }
	filler := ocispec.History{Comment: "layer of the base, which has no history of it"}
	for _, test := range []struct {
		name    string
		history []ocispec.History
		layers  int
		want    []ocispec.History
	}{
		{"right", []ocispec.History{entry(false), entry(true)}, 1, []ocispec.History{entry(false), entry(true)}},
		{"none", nil, 2, []ocispec.History{filler, filler}},
		{"too little", []ocispec.History{entry(true), entry(false)}, 2, []ocispec.History{entry(true), entry(false), filler}},
		{"too much", []ocispec.History{entry(false), entry(false)}, 1, []ocispec.History{entry(false), entry(true)}},
	} {
		var img dockerspec.DockerOCIImage
		img.History, img.RootFS.DiffIDs = test.history, layers(test.layers)
		completeHistory(&img)
		if diff := cmp.Diff(test.want, img.History); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}

func TestClampMovesOnlyLaterTimes(t *testing.T) {
	epoch := time.Unix(1000, 0).UTC()
	s := &session{req: Request{Epoch: &epoch}}
	before, after := time.Unix(999, 0).UTC(), time.Unix(1001, 0).UTC()
	if got := s.clamp(&before); !got.Equal(before) {
		t.Errorf("%v became %v", before, got)
	}
	if got := s.clamp(&after); !got.Equal(epoch) {
		t.Errorf("%v became %v", after, got)
	}
	if got := s.clamp(nil); got != nil {
		t.Errorf("no time became %v", got)
	}
}

func TestOnceSharesTheFirstResult(t *testing.T) {
	var o once[string, int]
	calls := 0
	for range 3 {
		if got, err := o.do("a", func() (int, error) { calls++; return calls, nil }); got != 1 || err != nil {
			t.Errorf("got %d, %v", got, err)
		}
	}
	if got, _ := o.do("b", func() (int, error) { return 7, nil }); got != 7 {
		t.Errorf("another key gives %d", got)
	}
}

func TestLogEventsAreWholeLines(t *testing.T) {
	var got []string
	l := &lines{to: &event.Emitter{Sink: func(e Event) { got = append(got, e.Text) }}}
	for _, part := range []string{"a", "b\r\nc\n\nd", "e"} {
		if n, err := l.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatalf("wrote %d, %v", n, err)
		}
	}
	l.flush()
	l.flush()
	if want := []string{"ab", "c", "", "de"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
