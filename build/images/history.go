package images

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/lbuild/lbuild/build/internal/image"
)

// HistoryEntry is one line of an image's history.
type HistoryEntry struct {
	Image      digest.Digest `json:"image,omitempty"` // of the config; only in the newest entry, as docker has it
	Created    time.Time     `json:"created"`
	CreatedBy  string        `json:"created_by"`
	Comment    string        `json:"comment,omitempty"`
	Size       int64         `json:"size"` // bytes of the layer as stored; 0 for an empty one
	Digest     digest.Digest `json:"digest,omitempty"`
	DiffID     digest.Digest `json:"diff_id,omitempty"`
	EmptyLayer bool          `json:"empty_layer"`
}

// History tells how an image was made, the newest entry first.
func (m *Images) History(ctx context.Context, ref string) ([]HistoryEntry, error) {
	ctx = m.store.Context(ctx)
	record, err := m.findOne(ctx, ref)
	if err != nil {
		return nil, err
	}
	img, err := m.stored(ctx, record.Target)
	if err != nil {
		return nil, fmt.Errorf("history of %s: %w", ref, err)
	}
	entries := history(&img)
	slices.Reverse(entries)
	if len(entries) > 0 {
		entries[0].Image = img.Config.Digest
	}
	return entries, nil
}

// history puts the config's history and the layers side by side, oldest first. Layers that it does not mention, as in
// images whose history is missing, come last.
func history(img *image.Image) []HistoryEntry {
	var entries []HistoryEntry
	next := 0 // layer
	take := func(e HistoryEntry) HistoryEntry {
		e.Digest, e.Size, e.DiffID = img.Layers[next].Digest, img.Layers[next].Size, img.Image.RootFS.DiffIDs[next]
		next++
		return e
	}
	for _, h := range img.Image.History {
		e := HistoryEntry{CreatedBy: h.CreatedBy, Comment: h.Comment, EmptyLayer: h.EmptyLayer}
		if h.Created != nil {
			e.Created = *h.Created
		}
		if !h.EmptyLayer && next < len(img.Layers) {
			e = take(e)
		}
		entries = append(entries, e)
	}
	for next < len(img.Layers) {
		entries = append(entries, take(HistoryEntry{}))
	}
	return entries
}
