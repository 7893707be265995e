package remote

import (
	"context"
	"io"
	"time"

	"github.com/containerd/containerd/v2/core/remotes"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// reportInterval is how often a fetch tells how far it is.
const reportInterval = 200 * time.Millisecond

// ReportingFetcher tells progress how far each blob is that is fetched through it. Calls for different blobs come at the
// same time.
func ReportingFetcher(from remotes.Fetcher, progress func(Progress)) remotes.Fetcher {
	return remotes.FetcherFunc(func(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
		body, err := from.Fetch(ctx, desc)
		if err != nil {
			return nil, err
		}
		at := Progress{Digest: desc.Digest, State: StateStarted, Total: desc.Size}
		progress(at)
		return &reportingBody{ReadCloser: body, at: at, progress: progress, last: time.Now()}, nil
	})
}

// reportingBody counts the bytes that are read from it.
type reportingBody struct {
	io.ReadCloser
	at       Progress
	progress func(Progress)
	last     time.Time // when something was told
}

func (r *reportingBody) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.at.Current += int64(n)
	switch now := time.Now(); {
	case r.at.State == StateDone:
	case err == io.EOF || r.at.Current == r.at.Total:
		r.at.State = StateDone
		r.progress(r.at)
	case n > 0 && now.Sub(r.last) >= reportInterval:
		r.last = now
		r.progress(r.at)
	}
	return n, err
}

// Seek goes on at an offset, where the store has the part before it already. Bodies from registries can do so.
func (r *reportingBody) Seek(offset int64, whence int) (int64, error) {
	at, err := r.ReadCloser.(io.Seeker).Seek(offset, whence)
	if err == nil {
		r.at.Current = at
	}
	return at, err
}
