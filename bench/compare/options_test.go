package main

import (
	"strings"
	"testing"
)

func TestParseRefuses(t *testing.T) {
	for args, want := range map[string]string{
		"--workloads nothing":      `no workload is named "nothing"`,
		"--against nobody":         `nobody is named "nobody"`,
		"--runs 0":                 "usage: ",
		"--workloads small apt":    "usage: ",
		"--tiny --workloads small": "--tiny needs an --out of its own",
	} {
		if _, err := parse(strings.Fields(args)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", args, err, want)
		}
	}
}

func TestListsWithoutNamesAreAll(t *testing.T) {
	o, err := parse([]string{"--workloads", ",", "--against", ""})
	if err != nil || !o.wants("small") || !o.compares("umoci") {
		t.Errorf("got %+v, %v", o, err)
	}
}
