package build

import (
	"strings"
	"testing"
)

func TestABudgetForNoLayerIsRefused(t *testing.T) {
	gzip, zstd := compression(t, "gzip"), compression(t, "zstd")
	least := roomForOne(t)
	for name, test := range map[string]struct {
		memory int64
		req    Request
		want   string
	}{
		"the default":           {0, Request{Compression: zstd}, ""},
		"the least":             {least, Request{Compression: gzip}, ""},
		"less":                  {least - 1<<20, Request{Compression: gzip}, "is too small: to pack a layer as gzip"},
		"enough but for one":    {least, Request{Compression: gzip, Outputs: []Output{{Type: OutputImage}, {Type: OutputOCI, Compression: &zstd}}}, "to pack a layer as zstd"},
		"files, without layers": {1, Request{Compression: gzip, Outputs: []Output{{Type: OutputLocal}}}, ""},
	} {
		err := test.req.CheckMemory(test.memory)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
	}
	b, _ := newTestBuilder(t)
	if _, err := New(b.store, Options{Memory: -1}); err == nil {
		t.Error("a negative budget passes")
	}
	small, err := New(b.store, Options{Memory: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := small.Build(t.Context(), Request{Context: t.TempDir(), BuildfileText: []byte("FROM scratch\n")}); err == nil || !strings.Contains(err.Error(), "is too small") {
		t.Errorf("a build with a budget for no layer: got %v", err)
	}
}

func TestABuilderNeedsAStore(t *testing.T) {
	if _, err := New(nil, Options{}); err == nil {
		t.Error("no error")
	}
}
