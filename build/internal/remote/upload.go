package remote

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"

	"github.com/cenkalti/backoff/v5"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/remotes"
	remoteserrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/containerd/v2/pkg/labels"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// upload sends one blob or manifest, from its beginning again when the registry broke off. It waits for its turn among
// all uploads of the client.
func (p *Pusher) upload(ctx context.Context, base remotes.Pusher, desc ocispec.Descriptor) error {
	if err := p.client.uploads.Acquire(ctx, 1); err != nil {
		return context.Cause(ctx)
	}
	defer p.client.uploads.Release(1)
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval = p.client.patience.pause
	pause.Multiplier = 2
	tries := 0
	_, err := backoff.Retry(ctx, func() (struct{}, error) { tries++; return struct{}{}, p.try(ctx, base, desc) },
		backoff.WithBackOff(pause),
		backoff.WithMaxTries(uint(p.client.patience.tries)),
		backoff.WithMaxElapsedTime(0))
	// After another part has failed, err is that part's.
	if failed, ok := errors.AsType[*failure](err); ok && failed.upload && ctx.Err() == nil {
		failed.tries = tries
	}
	return err
}

// try sends one blob or manifest once and marks the errors that another try cannot mend.
func (p *Pusher) try(ctx context.Context, base remotes.Pusher, desc ocispec.Descriptor) error {
	withSources := p.mountable(ctx, desc)
	err := p.send(ctx, base, withSources)
	if refused(err) && len(withSources.Annotations) > 0 {
		// Some registries refuse a mount that they do not like, where others just ask for the blob.
		err = p.send(ctx, base, plain(desc))
	}
	failed, ok := errors.AsType[*failure](err)
	switch {
	case err == nil:
		return nil
	case !ok || !failed.upload || failed.retryAfter > p.client.patience.longest || failed.uncommitted():
		return backoff.Permanent(err)
	case failed.retryAfter > 0:
		return errors.Join(err, &backoff.RetryAfterError{Duration: failed.retryAfter})
	}
	return err
}

// refused reports that the registry understood a request and said no.
func refused(err error) bool {
	_, ok := errors.AsType[remoteserrors.ErrUnexpectedStatus](err)
	return ok
}

func plain(desc ocispec.Descriptor) ocispec.Descriptor {
	desc.Annotations = nil
	return desc
}

// mountable adds to a descriptor the repositories that are known to have the blob, as containerd's pusher wants it.
func (p *Pusher) mountable(ctx context.Context, desc ocispec.Descriptor) ocispec.Descriptor {
	desc = plain(desc)
	info, err := p.store.Info(ctx, desc.Digest)
	if err != nil {
		return desc // reading the blob will say why
	}
	sources := maps.Clone(info.Labels)
	maps.DeleteFunc(sources, func(key, _ string) bool {
		return !strings.HasPrefix(key, labels.LabelDistributionSource+".")
	})
	desc.Annotations = sources
	return desc
}

func (p *Pusher) send(ctx context.Context, base remotes.Pusher, desc ocispec.Descriptor) (err error) {
	w, err := base.Push(ctx, desc)
	if errdefs.IsAlreadyExists(err) {
		p.report(Progress{Digest: desc.Digest, State: StateExists, Current: desc.Size, Total: desc.Size})
		return nil
	}
	if err != nil {
		return err
	}
	// Closing after a commit says nothing new, and after an error nothing better.
	defer func() { _ = w.Close() }()
	ra, err := p.store.ReaderAt(ctx, desc)
	if err != nil {
		return &storeError{desc.Digest, err}
	}
	defer func() { err = errors.Join(err, ra.Close()) }()
	if ra.Size() != desc.Size {
		return &storeError{desc.Digest, fmt.Errorf("it is damaged, with %d bytes of %d", ra.Size(), desc.Size)}
	}
	p.report(Progress{Digest: desc.Digest, State: StateStarted, Total: desc.Size})
	sent := &body{SectionReader: io.NewSectionReader(ra, 0, ra.Size()), pusher: p, desc: desc}
	if err := content.Copy(ctx, w, sent, desc.Size, desc.Digest); err != nil {
		if refused(err) {
			return cmp.Or(sent.damage(), err)
		}
		return err
	}
	p.report(Progress{Digest: desc.Digest, State: StateDone, Current: desc.Size, Total: desc.Size})
	return nil
}

func (p *Pusher) report(progress Progress) {
	if p.progress == nil {
		return
	}
	p.reporting.Lock()
	defer p.reporting.Unlock()
	p.progress(progress)
}

// body reads a blob of the store and reports how far it is.
type body struct {
	*io.SectionReader
	pusher *Pusher
	desc   ocispec.Descriptor
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.SectionReader.Read(p)
	if at, seekErr := b.Seek(0, io.SeekCurrent); seekErr == nil && n > 0 {
		b.pusher.report(Progress{Digest: b.desc.Digest, State: StateStarted, Current: at, Total: b.desc.Size})
	}
	return n, err
}

// damage says whether the store itself holds other bytes than the digest's: a registry refuses them in its own words.
func (b *body) damage() error {
	if _, err := b.Seek(0, io.SeekStart); err != nil {
		return &storeError{b.desc.Digest, err}
	}
	got, err := b.desc.Digest.Algorithm().FromReader(b.SectionReader)
	if err == nil && got != b.desc.Digest {
		err = fmt.Errorf("it is damaged, its bytes have the digest %s", got)
	}
	if err != nil {
		return &storeError{b.desc.Digest, err}
	}
	return nil
}
