package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"

	"github.com/lbuild/lbuild/build/event"
	"github.com/lbuild/lbuild/build/images"
)

// transferFlags are those of pull and push.
type transferFlags struct {
	progress progressMode
	quiet    bool
}

func (f *transferFlags) register(cmd *cobra.Command) {
	f.progress = progressAuto
	cmd.Flags().Var(&f.progress, "progress", "how stderr shows the transfer, as a `mode`: auto, tty, plain, json or quiet")
	cmd.Flags().BoolVarP(&f.quiet, "quiet", "q", false, "print nothing but the digest and errors")
	completeValues(cmd, "progress", progressNames()...)
}

// transferFunc is a pull or a push: it sends events, and returns the manifest.
type transferFunc func(context.Context, *images.Images, func(event.Event)) (ocispec.Descriptor, error)

// transfer runs fn with a sink for its events, and prints the digest that it returns.
func (a *app) transfer(ctx context.Context, f *transferFlags, fn transferFunc) error {
	mode := f.progress
	if f.quiet {
		mode = progressQuiet
	}
	return a.withImages(ctx, func(ctx context.Context, m *images.Images) error {
		shown := a.record(mode, false)
		desc, err := fn(ctx, m, shown.Show)
		shown.finish(ctx, desc.Digest, err)
		switch {
		case err != nil && mode == progressJSON:
			return &reportedError{err}
		case err != nil:
			return err
		}
		_, err = fmt.Fprintln(a.stdout, desc.Digest)
		return err
	})
}

func newPullCommand(a *app) *cobra.Command {
	var f transferFlags
	var platform string
	cmd := &cobra.Command{
		Use:   "pull [flags] NAME[:TAG|@DIGEST]",
		Short: "Get an image from its registry, and unpack it",
		Long: `Get an image from its registry, and unpack it. The digest of its manifest goes
to stdout.

Credentials are those of "docker login" ($DOCKER_CONFIG, ~/.docker/config.json)
and its credential helpers.`,
		Args:              takes(1, 1),
		ValidArgsFunction: a.completeImages(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := parsePlatform(platform)
			if err != nil {
				return usage(cmd, err)
			}
			return a.transfer(cmd.Context(), &f, func(ctx context.Context, m *images.Images, events func(event.Event)) (ocispec.Descriptor, error) {
				return m.Pull(ctx, args[0], p, events)
			})
		},
	}
	cmd.Flags().StringVar(&platform, "platform", "", "`OS/ARCH` or OS/ARCH/VARIANT to get (default this machine's)")
	f.register(cmd)
	return cmd
}

func newPushCommand(a *app) *cobra.Command {
	var f transferFlags
	cmd := &cobra.Command{
		Use:   "push [flags] NAME[:TAG]",
		Short: "Send an image to its registry",
		Long: `Send an image to the registry that its name begins with. The digest of its
manifest goes to stdout.

What the registry has already is not sent again. Credentials are those of
"docker login".`,
		Args:              takes(1, 1),
		ValidArgsFunction: a.completeImages(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.transfer(cmd.Context(), &f, func(ctx context.Context, m *images.Images, events func(event.Event)) (ocispec.Descriptor, error) {
				return m.Push(ctx, args[0], events)
			})
		},
	}
	f.register(cmd)
	return cmd
}

func newLoadCommand(a *app) *cobra.Command {
	var input string
	cmd := &cobra.Command{
		Use:   "load [-i FILE]",
		Short: "Put the images of an archive into the store",
		Long: `Put the images of an archive into the store: one of "docker save", old or new,
or an OCI layout in a tar, also compressed. The names of the images go to
stdout.`,
		Example: "  lbuild load -i app.tar\n  docker save app:1.0 | lbuild load",

		Args:              takes(0, 0),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if input == standardStream && isTerminal(a.stdin) {
				return usage(cmd, errors.New("load reads an archive from stdin or from --input FILE"))
			}
			return a.withImages(cmd.Context(), func(ctx context.Context, m *images.Images) error {
				return a.load(ctx, m, input)
			})
		},
	}
	cmd.Flags().StringVarP(&input, "input", "i", standardStream, "archive `file`, - for stdin")
	return cmd
}

func (a *app) load(ctx context.Context, m *images.Images, input string) (err error) {
	from := a.stdin
	if input != standardStream {
		f, err := os.Open(input)
		if err != nil {
			return err
		}
		defer f.Close()
		from = f
	}
	loaded, err := m.Load(ctx, from)
	for _, image := range loaded {
		fmt.Fprintln(a.stdout, nameOrDigest(image))
	}
	return err
}

// nameOrDigest is how the user refers to an image.
func nameOrDigest(image images.Info) string {
	if image.Name == "" {
		return image.Digest.String()
	}
	return familiar(image.Name)
}

func newSaveCommand(a *app) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "save [-o FILE] IMAGE…",
		Short: "Write images into an archive",
		Long: `Write images into one archive, an OCI layout that "docker load" reads, too.
Without --output, or with "-", it goes to stdout. A file is written whole or
not at all.`,
		Example: "  lbuild save -o app.tar app:1.0\n  lbuild save app:1.0 | ssh host docker load",

		Args:              takes(1, -1),
		ValidArgsFunction: a.completeImages(-1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if output == standardStream && isTerminal(a.stdout) {
				return usage(cmd, errors.New("the archive would go to the terminal: use --output FILE, or redirect stdout"))
			}
			return a.withImages(cmd.Context(), func(ctx context.Context, m *images.Images) error {
				if output == standardStream {
					return m.Save(ctx, a.stdout, args)
				}
				return writeWhole(output, func(w io.Writer) error { return m.Save(ctx, w, args) })
			})
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", standardStream, "archive `file`, - for stdout")
	return cmd
}
