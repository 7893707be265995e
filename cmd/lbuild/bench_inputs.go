package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/docker/go-units"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/lbuild/lbuild/bench"
	"github.com/lbuild/lbuild/bench/corpus"
	"github.com/lbuild/lbuild/build/images"
	"github.com/lbuild/lbuild/snapshot"
)

// addInputs takes up what can be compressed without the store. Its errors are usage errors.
func (b *benchmark) addInputs(f *benchFlags, paths []string) error {
	for _, path := range paths {
		info, err := os.Stat(path)
		switch {
		case err != nil:
			return err
		case info.IsDir():
			b.opts.Inputs = append(b.opts.Inputs, bench.Directory(path))
		default:
			b.opts.Inputs = append(b.opts.Inputs, bench.File(path))
		}
	}
	for _, text := range f.layers {
		if err := digest.Digest(text).Validate(); err != nil {
			return fmt.Errorf("--layer %q: %w", text, err)
		}
	}
	if len(paths)+len(f.images)+len(f.layers)+len(f.corpora) == 0 {
		f.corpora = []string{corpus.Mixed}
	}
	if len(f.corpora) == 0 && f.ofCorpus {
		return errors.New("--size and --seed are of a corpus, and what is compressed is not one (see --corpus)")
	}
	return b.addCorpora(f)
}

func (b *benchmark) addCorpora(f *benchFlags) error {
	size, err := units.FromHumanSize(f.size)
	if err != nil || size < 1 || strings.ContainsAny(f.size, "iI") { // MiB would be taken for MB
		return fmt.Errorf("--size %q: want bytes, or a number with kB, MB or GB", f.size)
	}
	inputs, err := namedCorpora(f.corpora, corpus.Spec{Seed: f.seed, Size: size})
	if err == nil && slices.Contains(f.corpora, allCorpora) {
		inputs, err = namedCorpora(corpus.Names(), corpus.Spec{Seed: f.seed, Size: size})
	}
	b.opts.Inputs = append(b.opts.Inputs, inputs...)
	return err
}

// namedCorpora leaves out what stands for all of them.
func namedCorpora(names []string, spec corpus.Spec) (inputs []bench.Input, _ error) {
	for _, name := range names {
		if name == allCorpora {
			continue
		}
		spec.Name = name
		input, err := bench.Corpus(spec)
		if err != nil {
			return nil, fmt.Errorf("--corpus: %w", err)
		}
		inputs = append(inputs, input)
	}
	return inputs, nil
}

// measure runs the benchmark, with the store open if it needs it.
func (a *app) measure(ctx context.Context, b *benchmark) (report *bench.Report, err error) {
	run := func() error {
		shown := a.newBenchDisplay()
		b.opts.Progress = shown.Show
		report, err = bench.Run(ctx, b.opts)
		shown.Close()
		return err
	}
	if len(b.images)+len(b.layers) == 0 {
		err = run()
		return report, err
	}
	err = a.withStore(ctx, func(ctx context.Context, store *snapshot.Store) error {
		inputs, err := storeInputs(ctx, store, b)
		if err != nil {
			return err
		}
		b.opts.Inputs = append(b.opts.Inputs, inputs...)
		return run()
	})
	return report, err
}

// storeInputs are the images and layers that the command names.
func storeInputs(ctx context.Context, store *snapshot.Store, b *benchmark) ([]bench.Input, error) {
	m, err := images.New(store, images.Options{})
	if err != nil {
		return nil, err
	}
	var inputs []bench.Input
	for _, ref := range b.images {
		detail, err := m.Inspect(ctx, ref)
		if err != nil {
			return nil, err
		}
		var blobs []ocispec.Descriptor
		for _, layer := range detail.Layers {
			blobs = append(blobs, ocispec.Descriptor{Digest: layer.Digest, Size: layer.Size})
		}
		inputs = append(inputs, blobsInput(ref, store, blobs))
	}
	for _, text := range b.layers {
		info, err := store.Content().Info(store.Context(ctx), digest.Digest(text))
		if err != nil {
			return nil, fmt.Errorf("layer %s: %w", text, err)
		}
		inputs = append(inputs, blobsInput(text, store, []ocispec.Descriptor{{Digest: info.Digest, Size: info.Size}}))
	}
	return inputs, nil
}

// blobsInput is blobs of the store, decompressed, one behind the other.
func blobsInput(name string, store *snapshot.Store, blobs []ocispec.Descriptor) bench.Input {
	return bench.Input{Name: name, Write: func(ctx context.Context, w io.Writer) error {
		for _, blob := range blobs {
			if err := writePlain(store.Context(ctx), store, blob, w); err != nil {
				return fmt.Errorf("layer %s: %w", blob.Digest, err)
			}
		}
		return nil
	}}
}

func writePlain(ctx context.Context, store *snapshot.Store, blob ocispec.Descriptor, w io.Writer) error {
	ra, err := store.Content().ReaderAt(ctx, blob)
	if err != nil {
		return err
	}
	defer ra.Close()
	r, err := snapshot.Decompress(content.NewReader(ra))
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	return errors.Join(err, r.Close())
}
