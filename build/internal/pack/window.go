package pack

import (
	"errors"
	"io"

	"github.com/klauspost/compress/zstd"
)

// maxWindow is the largest window that a layer is decompressed with; the store refuses a larger one.
const maxWindow = 128 << 20 // bytes

// maxSkipped is how many frames without content are looked past, since a blob may have nothing else.
const maxSkipped = 16

// leastWindow is that of zstd's usual levels. A first frame that is short may have less than those behind it.
const leastWindow = 8 << 20 // bytes

// window is how many bytes of what it has decompressed a decoder keeps for a blob: 0 for one that is not zstd, where it is
// next to nothing. It goes by the first frame with content, because to find the others is to read the whole blob: frames
// behind it may have more, up to maxWindow, if somebody made them so.
func window(blob io.ReaderAt) (int64, error) {
	var at int64
	for range maxSkipped {
		var start [zstd.HeaderMaxSize]byte
		n, err := blob.ReadAt(start[:], at)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		var frame zstd.Header
		switch err := frame.Decode(start[:n]); {
		case err != nil:
			return 0, nil //nolint:nilerr // no frame begins here: decompressing it tells what is wrong, or nothing is
		case frame.Skippable:
			at += int64(frame.HeaderSize) + int64(frame.SkippableSize)
		case frame.SingleSegment:
			return int64(max(leastWindow, min(frame.FrameContentSize, maxWindow))), nil
		default:
			return int64(max(leastWindow, min(frame.WindowSize, maxWindow))), nil
		}
	}
	return maxWindow, nil
}
