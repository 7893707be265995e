package snapshot

import (
	"io"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// progressPause is the time between two reports of one layer at least.
const progressPause = time.Second / 5

// progressReader reads the blob of a layer and reports how far it is.
type progressReader struct {
	r       io.Reader
	layers  *layers
	desc    ocispec.Descriptor
	current int64
	last    time.Time // when it reported
}

func (l *layers) countBytes(desc ocispec.Descriptor, r io.Reader) *progressReader {
	return &progressReader{r: r, layers: l, desc: desc, last: time.Now()}
}

func (p *progressReader) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	p.current += int64(n)
	if p.layers.progress != nil && time.Since(p.last) >= progressPause {
		p.last = time.Now()
		p.report(false)
	}
	return n, err
}

// finish reports the end, when nobody reads any more.
func (p *progressReader) finish() { p.report(true) }

func (p *progressReader) report(done bool) {
	if p.layers.progress == nil {
		return
	}
	p.layers.telling.Lock()
	defer p.layers.telling.Unlock()
	p.layers.progress(p.desc.Digest, p.current, p.desc.Size, done)
}
