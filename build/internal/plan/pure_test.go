package plan

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
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
		st.config.Config.WorkingDir = test.dir
		if got := st.absolute(test.dest); got != test.want {
			t.Errorf("%q in %q is %q, want %q", test.dest, test.dir, got, test.want)
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

func TestProxiesAreNotInTheHistory(t *testing.T) {
	value := "x"
	args := []instructions.KeyValuePairOptional{{Key: "HTTP_PROXY", Value: &value}, {Key: "V", Value: &value}, {Key: "W"}, {Key: "Http_Proxy", Value: &value}}
	vars := []string{"HTTP_PROXY=http://user:secret@proxy", "V=1", "no_proxy=a", "Http_Proxy=kept"}
	if got, want := visibleArgs(args, vars), []string{"V=1", "W=", "Http_Proxy=kept"}; !slices.Equal(got, want) {
		t.Errorf("visible: %v, want %v", got, want)
	}
}

func TestRUNSeesAProxyInBothCasesUnlessItIsSet(t *testing.T) {
	args := map[string]string{"HTTP_PROXY": "a", "no_proxy": "b", "NO_PROXY": "c", "https_proxy": "d", "V": "e", "Http_Proxy": "f"}
	want := []string{"HTTP_PROXY=a", "NO_PROXY=c", "https_proxy=d", "no_proxy=b", "http_proxy=a"}
	if diff := cmp.Diff(want, undeclaredProxies([]string{"HTTPS_PROXY=env"}, args)); diff != "" {
		t.Errorf("proxies (-want +got):\n%s", diff)
	}
}

func TestHeredocsBecomeWhatIsExecuted(t *testing.T) {
	for _, test := range []struct {
		name    string
		line    string
		files   []instructions.ShellInlineFile
		want    string
		scripts []File
	}{
		{"none", "echo a", nil, "echo a", nil},
		{"document", "<<EOF", []instructions.ShellInlineFile{{Name: "EOF", Data: "echo a\necho b\n"}}, "echo a\necho b\n", nil},
		{"script", "<<EOF", []instructions.ShellInlineFile{{Name: "EOF", Data: "#!/bin/awk\n"}}, "/dev/pipes/EOF", []File{{"/dev/pipes/EOF", "#!/bin/awk\n"}}},
		{"input", "cat <<A <<B", []instructions.ShellInlineFile{{Name: "A", Data: "1\n"}, {Name: "B", Data: "2\n"}}, "cat <<A <<B\n1\nA\n2\nB", nil},
		{"chomped", "<<-EOF", []instructions.ShellInlineFile{{Name: "EOF", Data: "\techo a\n", Chomp: true}}, "echo a\n", nil},
	} {
		c, scripts := heredocs(instructions.ShellDependantCmdLine{CmdLine: []string{test.line}, Files: test.files, PrependShell: true})
		if !slices.Equal(c.CmdLine, []string{test.want}) || !slices.Equal(scripts, test.scripts) {
			t.Errorf("%s: %q with %q, want %q with %q", test.name, c.CmdLine, scripts, test.want, test.scripts)
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
		given := slices.Clone(test.history)
		if diff := cmp.Diff(test.want, completeHistory(img)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
		if diff := cmp.Diff(given, img.History); diff != "" {
			t.Errorf("%s: the image's own history became (-want +got):\n%s", test.name, diff)
		}
	}
}
