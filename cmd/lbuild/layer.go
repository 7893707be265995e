package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/lbuild/lbuild/diff"
	"github.com/lbuild/lbuild/diff/compress"
	"github.com/lbuild/lbuild/diff/layer"
	"github.com/lbuild/lbuild/diff/verify"
)

const layerLong = `Write the layer of an overlay mount: what its upper directory changes in the
lower ones, as it goes into an image.

The directories are read as they are; nothing is mounted, except by --verify.
The mount must not be in use. The digest of the blob goes to stdout, the
diff-id, sizes and number of entries to stderr; with --format json all of them
are one object on stdout. With "-o -" the blob takes stdout, and the rest goes
to stderr. A file is written whole or not at all.`

const layerExample = `  lbuild layer --upper container --lower image2:image1 -o layer.tar.gz
  lbuild layer --upper container --lower image --compression zstd --verify -o layer.tar.zst`

// layerFlags are the flags of layer as they were typed.
type layerFlags struct {
	upperFlags
	output, compression, whiteouts, epoch string
	verify                                bool
	format                                listFormat
}

func newLayerCommand(a *app) *cobra.Command {
	f := &layerFlags{}
	cmd := &cobra.Command{
		Use:     "layer [flags] --upper DIR -o FILE|-",
		Short:   "Write the layer of an overlay mount",
		Long:    layerLong,
		Example: layerExample,

		Args:              takes(0, 0),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := a.upperLayer(f)
			if err != nil {
				return usage(cmd, err)
			}
			return a.layer(cmd.Context(), f, l)
		},
	}
	f.register(cmd.Flags())
	addFormatFlag(cmd, &f.format)
	completeValues(cmd, "compression", "none", "gzip", "zstd")
	completeValues(cmd, "whiteouts", "opaque", "explicit")
	return cmd
}

func (f *layerFlags) register(flags *pflag.FlagSet) {
	flags.SortFlags = false
	f.upperFlags.register(flags)
	flags.StringVarP(&f.output, "output", "o", "", "`file` that gets the layer, - for stdout")
	addPackingFlags(flags, &f.compression, &f.whiteouts, &f.epoch)
	flags.BoolVar(&f.verify, "verify", false, "unpack the layer with containerd's code and compare it with the mount before it is written")
}

// upperLayer is the layer that a command asks for.
type upperLayer struct {
	upper  diff.UpperOptions
	layer  layer.Options
	verify bool
	stats  diff.Stats // of the last walk
}

// upperLayer turns the flags into a layer. Its errors are usage errors.
func (a *app) upperLayer(f *layerFlags) (*upperLayer, error) {
	upper, err := f.options()
	if err != nil {
		return nil, err
	}
	switch {
	case f.output == "":
		return nil, errors.New("--output FILE is missing, or - for stdout")
	case f.output == standardStream && isTerminal(a.stdout):
		return nil, errors.New("the layer would go to the terminal: use --output FILE, or redirect stdout")
	}
	l := &upperLayer{upper: upper, verify: f.verify}
	l.upper.Warn, l.upper.Stats = a.warn, &l.stats
	if l.layer.Compression, err = compress.Parse(f.compression); err != nil {
		return nil, fmt.Errorf("--compression: %w", err)
	}
	if l.upper.Whiteouts, err = parseWhiteouts(f.whiteouts); err != nil {
		return nil, err
	}
	l.upper.Epoch, err = a.parseEpoch(f.epoch)
	l.layer.Epoch = l.upper.Epoch
	return l, err
}

// layer writes the layer where it belongs, and then says what it is.
func (a *app) layer(ctx context.Context, f *layerFlags, l *upperLayer) (err error) {
	a.setLogging()
	if err := f.marksAreReadable(); err != nil {
		return err
	}
	report := layerReport{}
	fill := func(w io.Writer) (err error) {
		report.Result, err = l.write(ctx, w)
		return err
	}
	if f.output == standardStream {
		err = fill(a.stdout)
	} else {
		err = writeWhole(f.output, fill)
	}
	if err != nil {
		return err
	}
	report.Stats = l.stats
	return a.printLayer(f, report)
}

// write packs into w; what is to be verified goes there when it was.
func (l *upperLayer) write(ctx context.Context, w io.Writer) (_ layer.Result, err error) {
	if !l.verify {
		return layer.Write(ctx, w, diff.Upper(ctx, l.upper), l.layer)
	}
	spool, err := os.CreateTemp("", "lbuild-layer-*")
	if err != nil {
		return layer.Result{}, err
	}
	defer func() { err = errors.Join(err, spool.Close(), os.Remove(spool.Name())) }()
	result, err := layer.Write(ctx, spool, diff.Upper(ctx, l.upper), l.layer)
	if err != nil {
		return layer.Result{}, err
	}
	err = verify.Layer(ctx, io.NewSectionReader(spool, 0, result.Size), verify.Options{
		Upper: l.upper.Upper, Lower: l.upper.Lower, UserXattr: l.upper.UserXattr, Epoch: l.upper.Epoch,
		Digest: result.Digest, DiffID: result.DiffID,
	})
	if err == nil {
		_, err = io.Copy(w, io.NewSectionReader(spool, 0, result.Size))
	}
	return result, err
}

// layerReport is what layer says of what it wrote.
type layerReport struct {
	layer.Result
	diff.Stats
}

// MarshalJSON has the names that --metadata-file has.
func (r layerReport) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Digest           digest.Digest `json:"digest"`
		MediaType        string        `json:"media_type"`
		Size             int64         `json:"size"`
		DiffID           digest.Digest `json:"diff_id"`
		UncompressedSize int64         `json:"uncompressed_size"`
		Entries          int           `json:"entries"`
		Unchanged        int           `json:"unchanged"`
		UnchangedBytes   int64         `json:"unchanged_bytes"`
	}{r.Digest, r.MediaType, r.Size, r.DiffID, r.UncompressedSize, r.Entries, r.Unchanged, r.UnchangedBytes})
}

func (a *app) printLayer(f *layerFlags, r layerReport) error {
	out := a.stdout
	if f.output == standardStream {
		out = a.stderr
	}
	if f.format == formatJSON {
		return writeJSONLines(out, []layerReport{r})
	}
	facts := []fact{
		{"diff-id", r.DiffID.String()},
		{"media type", r.MediaType},
		{"unpacked", size(r.UncompressedSize)},
		{"packed", size(r.Size)},
		{"entries", strconv.Itoa(r.Entries)},
	}
	if err := writeFacts(a.stderr, "", facts); err != nil {
		return err
	}
	writeUnchanged(a.stderr, r.Unchanged, r.UnchangedBytes)
	_, err := fmt.Fprintln(out, r.Digest)
	return err
}

// writeUnchanged says what layers were spared. A stderr that is gone does not make a command fail.
func writeUnchanged(w io.Writer, files int, bytes int64) {
	switch {
	case files == 1:
		fmt.Fprintf(w, "1 file (%s) was copied up unchanged and left out\n", size(bytes))
	case files > 1:
		fmt.Fprintf(w, "%d files (%s) were copied up unchanged and left out\n", files, size(bytes))
	}
}
