// Package remote speaks to registries: it resolves, fetches and pushes images with docker's credentials.
//
// containerd's resolver does the protocol. This package adds what surrounds it: which hosts are spoken to in plain
// http, where credentials come from, when a request is tried again, when a silent host counts as dead, and errors that
// say in one sentence what went wrong and what to do.
package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/log"
	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/sirupsen/logrus"
	"golang.org/x/sync/semaphore"
)

// Options says how registries are spoken to. The zero value is right for most.
type Options struct {
	// Insecure are hosts (with their port, if they have one) that are spoken to in plain http.
	Insecure []string
	// Version is lbuild's own and goes into the User-Agent header. Default "dev".
	Version string
}

// Client speaks to registries. It is safe for use by several goroutines and keeps tokens and connections between calls.
type Client struct {
	insecure map[string]bool
	agent    string
	creds    *credentials
	patience patience
	quiet    *log.Entry
	uploads  *semaphore.Weighted // one for each blob or manifest on its way out

	mu    sync.Mutex
	hosts map[string]docker.RegistryHost // by the host part of a reference
}

// patience is how long a registry may take, and how often it is asked.
type patience struct {
	silence time.Duration // without a byte from the host, and the request or body has failed
	dead    time.Duration // of silence over all tries, and the host is dead
	commit  time.Duration // without an answer after the last byte of a large upload, and it has failed
	large   int64         // bytes of such an upload
	tries   int           // of a request, and of the upload of a blob
	pause   time.Duration // after the first try; it doubles
	longest time.Duration // pause that a Retry-After may ask for
}

// New returns a client. docker's config.json is read when a registry first asks for credentials.
func New(opts Options) (*Client, error) {
	c := &Client{
		insecure: map[string]bool{},
		agent:    "lbuild/" + opts.Version,
		creds:    &credentials{},
		patience: patience{
			silence: 30 * time.Second,
			dead:    55 * time.Second,
			commit:  5 * time.Minute, // a store may copy a blob of many GB
			large:   8 << 20,
			tries:   5,
			pause:   500 * time.Millisecond,
			longest: 2 * time.Minute,
		},
		quiet:   quiet(),
		uploads: semaphore.NewWeighted(uploads),
		hosts:   map[string]docker.RegistryHost{},
	}
	if opts.Version == "" {
		c.agent = "lbuild/dev"
	}
	for _, host := range opts.Insecure {
		if err := checkHost(host); err != nil {
			return nil, err
		}
		c.insecure[host] = true
	}
	return c, nil
}

// ParseReference reads a reference as docker does: "x" is docker.io/library/x:latest, and a digest wins over a tag.
func ParseReference(s string) (reference.Named, error) {
	named, err := reference.ParseDockerRef(s)
	if err != nil {
		return nil, fmt.Errorf("image reference %q: %w", s, err)
	}
	return named, nil
}

// Resolve asks the registry what ref stands for: an index or a manifest.
func (c *Client) Resolve(ctx context.Context, ref reference.Named) (ocispec.Descriptor, error) {
	_, desc, err := c.resolver().Resolve(c.context(ctx), ref.String())
	if err != nil {
		return ocispec.Descriptor{}, c.explain(ctx, "resolve", ref, err)
	}
	if !images.IsIndexType(desc.MediaType) && !images.IsManifestType(desc.MediaType) {
		return ocispec.Descriptor{}, fmt.Errorf("resolve %s: not an image but %s", reference.FamiliarString(ref), desc.MediaType)
	}
	return desc, nil
}

// Fetcher returns a fetcher of ref's blobs and manifests. Its bodies are seekable and go on where a broken connection
// stopped; their bytes are as the registry sent them, so the caller compares the digest.
func (c *Client) Fetcher(ctx context.Context, ref reference.Named) (remotes.Fetcher, error) {
	f, err := c.resolver().Fetcher(c.context(ctx), ref.String())
	if err != nil {
		return nil, c.explain(ctx, "fetch", ref, err)
	}
	return &fetcher{client: c, ref: ref, base: f}, nil
}

func (c *Client) resolver() remotes.Resolver {
	return docker.NewResolver(docker.ResolverOptions{Hosts: c.registryHosts, Headers: c.header()})
}

// context hides from containerd's resolver the logger that would print to standard error.
func (c *Client) context(ctx context.Context) context.Context {
	return log.WithLogger(ctx, c.quiet)
}

func quiet() *log.Entry {
	logger := logrus.New()
	logger.SetOutput(io.Discard)
	return logrus.NewEntry(logger)
}

// fetcher gives errors that name the reference.
type fetcher struct {
	client *Client
	ref    reference.Named
	base   remotes.Fetcher
}

// Fetch opens a blob or manifest. Addresses that a manifest names for its foreign layers are not followed: a hostile
// image must not choose what lbuild connects to.
func (f *fetcher) Fetch(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	desc.URLs = nil
	rc, err := f.base.Fetch(f.client.context(ctx), desc)
	if err != nil {
		return nil, f.client.explain(ctx, "fetch", f.ref, err)
	}
	return &blobReader{ctx: ctx, fetcher: f, rc: rc, desc: desc}, nil
}

// blobReader is the body of a fetch. The context is that of the fetch, whose life it shares.
type blobReader struct {
	ctx     context.Context
	fetcher *fetcher
	rc      io.ReadCloser
	desc    ocispec.Descriptor
}

func (r *blobReader) Read(p []byte) (int, error) {
	n, err := r.rc.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = r.fetcher.client.explain(r.ctx, "fetch "+r.desc.Digest.String()+" of", r.fetcher.ref, err)
	}
	return n, err
}

// Seek moves to an offset; the next Read asks the registry from there on.
func (r *blobReader) Seek(offset int64, whence int) (int64, error) {
	return r.rc.(io.Seeker).Seek(offset, whence)
}

func (r *blobReader) Close() error { return r.rc.Close() }
