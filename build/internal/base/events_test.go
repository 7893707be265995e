package base

import (
	"context"
	"slices"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/lbuild/lbuild/build/event"
	"github.com/lbuild/lbuild/build/internal/storetest"
)

// states collects the states of events by digest.
func states() (*event.Emitter, map[string][]event.State) {
	seen := map[string][]event.State{}
	return &event.Emitter{Sink: func(e event.Event) { seen[e.Digest] = append(seen[e.Digest], e.State) }}, seen
}

func checkStates(t *testing.T, seen map[string][]event.State, d digest.Digest, want ...event.State) {
	t.Helper()
	if got := seen[string(d)]; !slices.Equal(got, want) {
		t.Errorf("%s: states are %v, want %v", d, got, want)
	}
}

func TestLayersThatAreNotUnpackedToTheirEndHaveOne(t *testing.T) {
	events, seen := states()
	u := unpacking{image: &Image{events: events}, layers: map[digest.Digest]event.Event{}}
	u.progress("whole", 1, 2, false)
	u.progress("half", 1, 2, false)
	u.progress("whole", 2, 2, true)
	u.end(event.Failed)
	checkStates(t, seen, "whole", event.Started, event.Done)
	checkStates(t, seen, "half", event.Started, event.Failed)
}

func TestABlobThatIsNotImportedToItsEndHasOne(t *testing.T) {
	store := storetest.Open(t)
	ctx := storetest.Lease(t, store)
	events, seen := states()
	to := (&Finder{Store: store, Events: events}).importing("somewhere")
	for _, whole := range []bool{true, false} {
		text := map[bool]string{true: "whole", false: "half"}[whole]
		desc := ocispec.Descriptor{Digest: digest.FromString(text), Size: int64(len(text))}
		must(t, importText(ctx, to, desc, text, whole))
		want := event.Done
		if !whole {
			want = event.Failed
		}
		checkStates(t, seen, desc.Digest, want)
	}
}

// importText writes a blob, and closes it without a commit unless it is to be whole.
func importText(ctx context.Context, to content.Ingester, desc ocispec.Descriptor, text string, whole bool) error {
	w, err := to.Writer(ctx, content.WithRef(text), content.WithDescriptor(desc))
	if err != nil {
		return err
	}
	if _, err := w.Write([]byte(text)); err != nil {
		return err
	}
	if whole {
		if err := w.Commit(ctx, desc.Size, desc.Digest); err != nil {
			return err
		}
	}
	return w.Close()
}
