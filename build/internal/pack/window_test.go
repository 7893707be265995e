package pack

import (
	"bytes"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// emptyTar is a tar without entries as zstd, with a window of 1<<log bytes.
func emptyTar(log byte) []byte {
	return []byte{0x28, 0xb5, 0x2f, 0xfd, 0, (log - 10) << 3, 0x03, 0x20, 0, 0}
}

func TestTheWindowIsThatOfTheFirstFrameWithContent(t *testing.T) {
	skipped := []byte{0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3}
	whole, err := zstd.NewWriter(nil, zstd.WithSingleSegment(true))
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		blob []byte
		want int64
	}{
		"nothing":           {nil, 0},
		"tar":               {make([]byte, 1024), 0},
		"gzip":              {[]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0}, 0},
		"cut short":         {emptyTar(20)[:5], 0},
		"16 MiB":            {emptyTar(24), 16 << 20},
		"less than usual":   {emptyTar(20), leastWindow},
		"too large":         {emptyTar(40), maxWindow},
		"one segment":       {whole.EncodeAll(make([]byte, 9<<20), nil), 9 << 20},
		"after others":      {slices.Concat(skipped, skipped, emptyTar(25)), 32 << 20},
		"after very many":   {slices.Concat(bytes.Repeat(skipped, 1000), emptyTar(22)), maxWindow},
		"nothing but empty": {skipped, 0},
	} {
		got, err := window(bytes.NewReader(test.blob))
		if err != nil || got != test.want {
			t.Errorf("%s: got %d, %v; want %d", name, got, err, test.want)
		}
	}
}

func TestTheWindowOfALayerThatIsPackedAnewIsInTheBudget(t *testing.T) {
	store, ctx := newStore(t)
	p := New(store, memory, 1)
	p.budget.cores = 1
	blob, err := store.WriteBlob(ctx, ocispec.MediaTypeImageLayerZstd, emptyTar(26), nil)
	if err != nil {
		t.Fatal(err)
	}
	b, told := begin(t, p, Options{})
	gzip := compression(t, "gzip")
	diffID := digest.FromBytes(make([]byte, 1024))
	var layers []Layer
	for range 2 { // the second is the first
		l, err := b.Repack(ctx, BaseLayer{Blob: blob, DiffID: diffID, N: 2, Of: 3}, gzip)
		if err != nil {
			t.Fatal(err)
		}
		layers = append(layers, l)
	}
	if want := leastMemory(gzip) + 64<<20; p.PeakMemory() != want {
		t.Errorf("packing was allowed %d bytes, want %d", p.PeakMemory(), want)
	}
	if l := layers[0]; l.DiffID != diffID || l.MediaType != ocispec.MediaTypeImageLayerGzip || l != layers[1] {
		t.Errorf("the layer is %+v, and again %+v", l, layers[1])
	}
	if want := []string{"base layer 2/3 started", "base layer 2/3 done"}; !slices.Equal(told(), want) {
		t.Errorf("packing told %q, want %q", told(), want)
	}
}
