package main

import (
	"os"
	"strings"
	"testing"

	"github.com/lbuild/lbuild/diff/difftest"
)

// TestEveryPeerRuns tries all differs on rows that each of them passes, so that one that is called wrongly is seen.
func TestEveryPeerRuns(t *testing.T) {
	needRoot(t)
	for _, p := range peers() {
		t.Run(p.name, func(t *testing.T) {
			difftest.Test(t, p.differ, difftest.Options{Rows: []string{"2", "4", "13", "20"}})
		})
	}
}

// needRoot skips the test for other users than root, or fails it with LBUILD_TEST_STRICT=1.
func needRoot(t *testing.T) {
	t.Helper()
	switch {
	case os.Getuid() == 0:
	case os.Getenv("LBUILD_TEST_STRICT") == "1":
		t.Fatal("only root can mount overlays")
	default:
		t.Skip("only root can mount overlays")
	}
}

// TestThePageIsOfTheseRowsAndVersions fails when rows or modules changed and nobody ran make differs.
func TestThePageIsOfTheseRowsAndVersions(t *testing.T) {
	text, err := os.ReadFile("../../docs/differs.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range difftest.Rows() {
		if line := "| " + row.ID + " | " + row.Title + " | ✓ |"; !strings.Contains(string(text), line) {
			t.Errorf("the page lacks %q", line)
		}
	}
	for _, p := range peers() {
		if line := "| " + p.name + " | " + version(p.module) + " |"; !strings.Contains(string(text), line) {
			t.Errorf("the page lacks %q", line)
		}
	}
}

func TestReasonsAreTheSameInEachRun(t *testing.T) {
	for _, c := range []struct{ reason, want string }{
		{"lstat /tmp/containerd-mount123/d/f: no", "lstat …/d/f: no"},
		{"mount callback failed on /tmp/containerd-mount123: no", "no"},
		{"open /tmp/difftest99/0/t88/2/upper/f: no", "open …/f: no"},
		{"open /var/tmp/difftest99/0/t88/2/merged/f: no", "open …/f: no"},
		{"a | b", `a \| b`},
		{"one\ntwo.", "one; two"},
	} {
		if got := steady(c.reason); got != c.want {
			t.Errorf("steady(%q) is %q, want %q", c.reason, got, c.want)
		}
	}
}
