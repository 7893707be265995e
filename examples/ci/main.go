// Command ci shows a CI builder that has lbuild as a library: it opens one store, builds three images in it at once with
// one Builder, prints what happens, and at the end the digest of each.
//
//	sudo go run ./examples/ci               from the repository's root
//	sudo go run ./examples/ci --root DIR    with a store elsewhere
//
// The Buildfiles have no RUN, so it needs no runc. A second time all steps are cached.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sync/errgroup"

	"github.com/lbuild/lbuild/build"
)

// dir holds the Buildfiles, and src below it is the context of all three.
const dir = "examples/ci"

func main() {
	root := flag.String("root", "/var/tmp/lbuild-ci", "`directory` of the store, made if missing")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *root, "site", "config", "bundle")
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "ci:", err)
		os.Exit(1)
	}
}

// run builds the images of these names in the store under root.
func run(ctx context.Context, root string, names ...string) (err error) {
	warn := func(err error) { fmt.Fprintln(os.Stderr, "ci:", err) }
	store, err := build.OpenStore(ctx, root, warn)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	builder, err := build.New(store, build.Options{})
	if err != nil {
		return err
	}
	digests := make([]string, len(names))
	group, ctx := errgroup.WithContext(ctx)
	for i, name := range names {
		group.Go(func() (err error) {
			digests[i], err = image(ctx, builder, name)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i, name := range names {
		fmt.Println(name, digests[i])
	}
	return nil
}

// image builds one image and gives the digest of its manifest.
func image(ctx context.Context, builder *build.Builder, name string) (string, error) {
	result, err := builder.Build(ctx, build.Request{
		Context: dir + "/src", Buildfile: dir + "/" + name + ".Buildfile", Tags: []string{"ci/" + name},
		Events: func(e build.Event) { progress(name, e) },
	})
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err) // of a Buildfile it has the line, with a caret
	}
	return result.Manifest.Digest.String(), nil
}

// progress prints one line for what a reader of a CI log wants to know. Each line is one write, so that those of builds
// that run at once do not mix.
func progress(name string, e build.Event) {
	switch {
	case e.Type == build.EventStep && e.State != build.StateStarted:
		fmt.Fprintf(os.Stderr, "%s: %s %s: %s\n", name, e.ID, e.Name, e.State)
	case e.Type == build.EventPack && e.State == build.StateDone && e.Digest != "":
		fmt.Fprintf(os.Stderr, "%s: %s: packed %d bytes\n", name, e.ID, e.Size)
	case e.Type == build.EventWarning:
		fmt.Fprintf(os.Stderr, "%s: %s:%d: warning: %s\n", name, e.File, e.Line, e.Text)
	}
}
