package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/lbuild/lbuild/build/images"
)

const (
	missing        = "<missing>" // docker's word for an entry that is no image of its own
	createdByWidth = 45
)

func newHistoryCommand(a *app) *cobra.Command {
	var f listFlags
	cmd := &cobra.Command{
		Use:   "history [flags] IMAGE",
		Short: "Show how an image was made, newest step first",
		Long: `Show how an image was made, newest step first.

SIZE is that of the layer as it is stored, so mostly compressed. With --format
json each line is an object, which also has the layer's digests.`,
		Args:              takes(1, 1),
		ValidArgsFunction: a.completeImages(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withImages(cmd.Context(), func(ctx context.Context, m *images.Images) error {
				entries, err := m.History(ctx, args[0])
				if err != nil {
					return err
				}
				return f.writeHistory(a.stdout, entries, time.Now())
			})
		},
	}
	f.register(cmd, "print image IDs only")
	return cmd
}

func (f *listFlags) writeHistory(w io.Writer, entries []images.HistoryEntry, now time.Time) error {
	switch {
	case f.quiet:
		return f.writeImageIDs(w, entries)
	case f.format == formatJSON:
		return writeJSONLines(w, entries)
	}
	createdBy := column{title: "CREATED BY", max: createdByWidth}
	if f.noTrunc {
		createdBy.max = 0
	}
	t := table{columns: []column{
		{title: "IMAGE"}, {title: "CREATED"}, createdBy, {title: "SIZE", right: true}, {title: "COMMENT"},
	}}
	for _, e := range entries {
		t.add(f.imageID(e), ago(e.Created, now), oneLine(e.CreatedBy), size(e.Size), oneLine(e.Comment))
	}
	return t.write(w)
}

func (f *listFlags) writeImageIDs(w io.Writer, entries []images.HistoryEntry) error {
	for _, e := range entries {
		if _, err := fmt.Fprintln(w, f.imageID(e)); err != nil {
			return err
		}
	}
	return nil
}

func (f *listFlags) imageID(e images.HistoryEntry) string {
	if e.Image == "" {
		return missing
	}
	return f.id(e.Image)
}
