package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/distribution/reference"
	"github.com/docker/go-units"
	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"

	"github.com/lbuild/lbuild/build/images"
)

const none = "<none>" // in place of a name or tag that an image has not

// listFlags are those of commands that print a list.
type listFlags struct {
	format  listFormat
	noTrunc bool
	quiet   bool
}

func (f *listFlags) register(cmd *cobra.Command, quiet string) {
	addFormatFlag(cmd, &f.format)
	cmd.Flags().BoolVar(&f.noTrunc, "no-trunc", false, "do not shorten digests and texts")
	cmd.Flags().BoolVarP(&f.quiet, "quiet", "q", false, quiet)
}

// id shortens a digest as docker does, unless --no-trunc.
func (f *listFlags) id(d digest.Digest) string {
	const shortID = 12 // hexadecimal digits
	if f.noTrunc || d.Validate() != nil || len(d.Encoded()) < shortID {
		return d.String()
	}
	return d.Encoded()[:shortID]
}

func newImagesCommand(a *app) *cobra.Command {
	var f listFlags
	cmd := &cobra.Command{
		Use:   "images [flags]",
		Short: "List the images in the store, newest first",
		Long: `List the images in the store, newest first.

IMAGE ID is the digest of the image's config, as docker has it. With --format
json each line is an object.`,
		Args:              takes(0, 0),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withImages(cmd.Context(), func(ctx context.Context, m *images.Images) error {
				list, err := m.List(ctx)
				if err != nil {
					return err
				}
				return f.writeImages(a.stdout, list, time.Now())
			})
		},
	}
	f.register(cmd, "print image IDs only")
	return cmd
}

func (f *listFlags) writeImages(w io.Writer, list []images.Info, now time.Time) error {
	switch {
	case f.quiet:
		return f.writeIDs(w, list)
	case f.format == formatJSON:
		return writeJSONLines(w, list)
	}
	t := table{columns: []column{
		{title: "REPOSITORY"}, {title: "TAG"}, {title: "IMAGE ID"}, {title: "CREATED"}, {title: "SIZE", right: true},
	}}
	for _, image := range list {
		repository, tag := splitName(image.Name)
		t.add(repository, tag, f.id(image.Config), ago(image.Created, now), size(image.Size))
	}
	return t.write(w)
}

// writeIDs prints each image once, however many names it has.
func (f *listFlags) writeIDs(w io.Writer, list []images.Info) error {
	seen := map[digest.Digest]bool{}
	for _, image := range list {
		if seen[image.Config] {
			continue
		}
		seen[image.Config] = true
		if _, err := fmt.Fprintln(w, f.id(image.Config)); err != nil {
			return err
		}
	}
	return nil
}

// splitName gives a name of the store in docker's short form. "" is an image without a name.
func splitName(name string) (repository, tag string) {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return none, none
	}
	tag = none
	if tagged, ok := named.(reference.Tagged); ok {
		tag = tagged.Tag()
	}
	return reference.FamiliarName(named), tag
}

// ago is how long before now t was. Images without a time, and those clamped to 1970, say nothing.
func ago(t, now time.Time) string {
	if t.IsZero() || t.Unix() == 0 {
		return "N/A"
	}
	return units.HumanDuration(now.Sub(t)) + " ago"
}

func writeJSONLines[T any](w io.Writer, items []T) error {
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	for _, item := range items {
		if err := out.Encode(item); err != nil {
			return err
		}
	}
	return nil
}

func newTagCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:               "tag IMAGE NAME[:TAG]",
		Short:             "Give an image one more name",
		Args:              takes(2, 2),
		ValidArgsFunction: a.completeImages(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := parseNames(args[1:]); err != nil {
				return usage(cmd, err)
			}
			return a.withImages(cmd.Context(), func(ctx context.Context, m *images.Images) error {
				return m.Tag(ctx, args[0], args[1])
			})
		},
	}
}

func newRemoveCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "rmi IMAGE…",
		Aliases: []string{"remove"},
		Short:   "Remove images from the store",
		Long: `Remove images from the store.

A name takes away that name only; a digest takes away all names of its image.
What no other image, no cached step and no running build needs is deleted at
once. The names that went are printed.`,
		Args:              takes(1, -1),
		ValidArgsFunction: a.completeImages(-1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withImages(cmd.Context(), func(ctx context.Context, m *images.Images) error {
				removed, err := m.Remove(ctx, args)
				for _, name := range removed {
					fmt.Fprintln(a.stdout, familiar(name))
				}
				return err
			})
		},
	}
}

// familiar is a name of the store as a person would type it.
func familiar(name string) string {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return name
	}
	return reference.FamiliarString(named)
}
