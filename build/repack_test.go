package build

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLayersOfTheBaseThatArePackedAnewAreTold(t *testing.T) {
	b, _ := newTestBuilder(t)
	build := func(text string, req Request) *Result {
		req.Context = writeContext(t, map[string]string{"Buildfile": text, "a": "a", "b": "b"})
		result, err := b.Build(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
	build("FROM scratch\nCOPY a /\nCOPY b /\n", Request{Tags: []string{"base:1"}})
	zstd := compression(t, "zstd")
	told, last := map[string][]State{}, map[string]Event{}
	result := build("FROM base:1 AS base\nCOPY a /c\n", Request{
		Outputs: []Output{{Type: OutputImage, Compression: &zstd, ForceCompression: true}},
		Events: func(e Event) {
			if e.Type == EventPack {
				told[e.ID] = append(told[e.ID], e.State)
				last[e.ID] = e
			}
		},
	})
	begunAndDone := []State{StateStarted, StateDone}
	want := map[string][]State{"base layer 1/2": begunAndDone, "base layer 2/2": begunAndDone, "base 1/1": begunAndDone}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("packing was told as (-want +got):\n%s", diff)
	}
	for i, id := range []string{"base layer 1/2", "base layer 2/2", "base 1/1"} {
		l, e := result.Layers[i], last[id]
		if l.PackSeconds <= 0 || l.PackSeconds != e.Seconds || string(l.Digest) != e.Digest || l.Size != e.Size {
			t.Errorf("%s ends with %+v, and is %+v", id, e, l)
		}
	}
	if result.Packing.Seconds <= 0 {
		t.Errorf("packing took %v seconds", result.Packing.Seconds)
	}
}
