package build

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/lbuild/lbuild/build/internal/blocks"
	"github.com/lbuild/lbuild/build/internal/cache"
	"github.com/lbuild/lbuild/diff"
	"github.com/lbuild/lbuild/diff/compress"
	"github.com/lbuild/lbuild/diff/layer"
	"github.com/lbuild/lbuild/snapshot"
)

// packSoon starts to pack a frozen step in all compressions that the outputs need, and to push what is whole, while later
// steps run.
func (s *session) packSoon(ctx context.Context, made madeStep) {
	for _, c := range s.compressions() {
		s.group.Go(func() error {
			l, err := s.pack(ctx, made, c)
			if err == nil && l.Entries > 0 {
				s.pushSoon(ctx, c, l.Descriptor())
			}
			return err
		})
	}
}

// pack gives the layer of a step in one compression. It is packed once; a later call waits for the first.
func (s *session) pack(ctx context.Context, made madeStep, c compress.Compression) (cache.Layer, error) {
	variant := s.variant(c)
	return s.packs.do(packKey(made.Snapshot, variant), func() (cache.Layer, error) {
		l, ok, err := s.cache.Layer(ctx, made.Snapshot, variant)
		if err != nil || ok {
			l.Seconds = 0 // this build did not pack it
			return l, err
		}
		if l, err = s.packNow(ctx, made, c); err != nil {
			return l, fmt.Errorf("pack the layer of line %d: %w", made.line, err)
		}
		return l, nil
	})
}

// packKey is what a session knows a layer by.
func packKey(name, variant string) string { return name + " " + variant }

// packNow walks the snapshot and writes the layer into the store, as soon as there is room.
func (s *session) packNow(ctx context.Context, made madeStep, c compress.Compression) (l cache.Layer, err error) {
	asked := time.Now()
	workers, release, err := s.budget.room(ctx, turn{s.number, made.history}, c, 0)
	if err != nil {
		return cache.Layer{}, err
	}
	defer release()
	if made.bare != nil {
		*made.bare.started = made.bare.started.Add(time.Since(asked))
	}
	err = s.tell(ctx, Event{ID: made.id, Line: made.line}, func() (done Event, err error) {
		if l, err = s.writeLayer(ctx, made, c, workers); err != nil {
			return done, err
		}
		done = Event{Seconds: l.Seconds, Unchanged: l.Unchanged, UnchangedBytes: l.UnchangedBytes, ReusedBytes: l.ReusedBytes}
		if l.Entries > 0 {
			done.Digest, done.Size, done.UncompressedSize = string(l.Digest), l.Size, l.UncompressedSize
		}
		return done, nil
	})
	return l, err
}

// tell packs a layer, and says before that it begins and after how it ended: with what pack returns, or with its error.
func (s *session) tell(ctx context.Context, of Event, pack func() (done Event, err error)) error {
	started := time.Now()
	s.events.Emit(Event{Type: EventPack, ID: of.ID, Line: of.Line, State: StateStarted})
	end, err := pack()
	if end.State = StateDone; err != nil {
		end = Event{State: outcome(ctx, err, time.Since(started)).State, Text: err.Error()}
	}
	end.Type, end.ID, end.Line = EventPack, of.ID, of.Line
	s.events.Emit(end)
	return err
}

// writeLayer packs the snapshot into a blob of the store, and records it.
func (s *session) writeLayer(ctx context.Context, made madeStep, c compress.Compression, workers int) (_ cache.Layer, err error) {
	dirs, err := s.dirs(ctx, made)
	if err != nil {
		return cache.Layer{}, err
	}
	blob, err := s.store.NewBlob(ctx)
	if err != nil {
		return cache.Layer{}, err
	}
	defer func() { err = errors.Join(err, blob.Close()) }()
	started := time.Now()
	var stats diff.Stats
	changes := diff.Upper(ctx, diff.UpperOptions{
		Upper: dirs.Upper, Lower: dirs.Lower, UserXattr: dirs.UserXattr, Whiteouts: s.req.Whiteouts, Epoch: s.req.Epoch,
		Warn: s.warnOnce(made), Stats: &stats,
	})
	if made.bare != nil {
		changes = made.bare.placed.Changes(changes)
	}
	known := s.packed.Blob(ctx)
	defer known.Close()
	result, err := layer.Write(ctx, blob, changes, layer.Options{Compression: c, Workers: workers, Blocks: known, Epoch: s.req.Epoch})
	if err != nil {
		return cache.Layer{}, err
	}
	l := cache.Layer{
		Result: result, Seconds: time.Since(started).Seconds(), Unchanged: stats.Unchanged, UnchangedBytes: stats.UnchangedBytes,
		ReusedBytes: known.Reused(),
	}
	if made.bare != nil {
		err = made.bare.keep(ctx, blob, l)
	} else {
		err = s.keepLayer(ctx, blob, made.Snapshot, c, l)
	}
	if err == nil && l.Entries > 0 {
		s.keepBlocks(known, l.Digest)
	}
	return l, err
}

// warnOnce tells what a layer cannot hold of a snapshot. Each compression walks it, and only the first one tells.
func (s *session) warnOnce(made madeStep) func(diff.Warning) {
	if _, told := s.warned.LoadOrStore(made.Snapshot, true); told {
		return nil
	}
	return func(w diff.Warning) { s.warn(made.line, w.String()) }
}

// keepBlocks remembers the packed blocks of a blob. Without them the next layer takes longer, and nothing else.
func (s *session) keepBlocks(packed *blocks.Blob, d digest.Digest) {
	if err := packed.Keep(d); err != nil {
		s.warn(0, fmt.Sprintf("later builds compress again what they could take from here: %v", err))
	}
}

// keepLayer makes the blob of a layer whole and records it: at once, or where the user asked for proof once it was
// unpacked and compared.
func (s *session) keepLayer(ctx context.Context, blob *snapshot.BlobWriter, name string, c compress.Compression, l cache.Layer) error {
	variant, labels := s.variant(c), uncompressed(l.DiffID)
	switch {
	case l.Entries > 0 && !s.req.Verify:
		return s.cache.CommitLayer(ctx, blob, name, variant, l, labels)
	case l.Entries > 0:
		if err := blob.Commit(ctx, l.Size, l.Digest, labels); err != nil {
			return err
		}
	}
	if s.req.Verify {
		dirs, err := s.store.Dirs(ctx, name)
		if err == nil {
			err = s.verify(ctx, dirs, l.Result)
		}
		if err != nil {
			return err
		}
	}
	return s.cache.PutLayer(ctx, name, variant, l)
}

// layerRevision is part of every record of a layer; raise it when diff or diff/layer make other bytes of one snapshot.
const layerRevision = "r1"

// variant names everything besides the snapshot that a layer's bytes depend on.
func (s *session) variant(c compress.Compression) string {
	parts := []string{layerRevision, c.ID(), fmt.Sprint("whiteouts=", s.req.Whiteouts)}
	if s.req.Epoch != nil {
		parts = append(parts, fmt.Sprint("epoch=", s.req.Epoch.Unix()))
	}
	return strings.Join(parts, " ")
}

// compressions are those that the outputs need, each once, the request's own first.
func (s *session) compressions() []compress.Compression {
	var list []compress.Compression
	seen := map[compress.Compression]bool{}
	for _, out := range s.outputs() {
		if c := s.compression(out); out.isImage() && !seen[c] {
			seen[c] = true
			list = append(list, c)
		}
	}
	return list
}

// compression is what an output wants its layers in.
func (s *session) compression(out Output) compress.Compression {
	if out.Compression != nil {
		return *out.Compression
	}
	return s.req.Compression
}
