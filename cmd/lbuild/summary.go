package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/lbuild/lbuild/build"
)

// printResult writes the files that were asked for, the summary to stderr, and the manifest's digest to stdout, or to
// stderr where an output took stdout.
func (a *app) printResult(f *buildFlags, mode progressMode, req build.Request, result *build.Result) error {
	if err := f.writeFiles(result); err != nil {
		return err
	}
	if mode != progressQuiet && mode != progressJSON {
		writeSummary(a.stderr, summaryWidth(a.stderr), result)
	}
	if result.Manifest.Digest == "" {
		return nil
	}
	to := a.stdout
	if toStdout(req.Outputs) > 0 {
		if mode == progressJSON {
			return nil // the result event has it
		}
		to = a.stderr
	}
	_, err := fmt.Fprintln(to, result.Manifest.Digest)
	return err
}

// writeFiles writes --iidfile and --metadata-file.
func (f *buildFlags) writeFiles(result *build.Result) error {
	if f.imageIDFile != "" {
		id := cmp.Or(result.Config, result.Manifest.Digest) // several platforms have no one config
		if err := writeBytes(f.imageIDFile, []byte(id)); err != nil {
			return fmt.Errorf("write the image ID: %w", err)
		}
	}
	if f.metadataFile == "" {
		return nil
	}
	text, err := metadataJSON(result)
	if err == nil {
		err = writeBytes(f.metadataFile, text)
	}
	if err != nil {
		return fmt.Errorf("write the metadata: %w", err)
	}
	return nil
}

// metadata is the content of --metadata-file, with buildx's names where it has them.
type metadata struct {
	Digest     digest.Digest       `json:"containerimage.digest,omitempty"`
	Config     digest.Digest       `json:"containerimage.config.digest,omitempty"`
	Descriptor *ocispec.Descriptor `json:"containerimage.descriptor,omitempty"`
	Name       string              `json:"image.name,omitempty"` // names with commas between them
	Layers     []build.Layer       `json:"layers"`
	Platforms  []platformMetadata  `json:"platforms,omitempty"` // where there are several; the layers are in them
}

// platformMetadata is the image for one of several platforms.
type platformMetadata struct {
	Platform string        `json:"platform"`
	Digest   digest.Digest `json:"containerimage.digest"`
	Config   digest.Digest `json:"containerimage.config.digest"`
	Layers   []build.Layer `json:"layers"`
}

func metadataJSON(result *build.Result) ([]byte, error) {
	m := metadata{
		Digest: result.Manifest.Digest, Config: result.Config,
		Name: strings.Join(result.Names, ","), Layers: result.Layers,
	}
	if m.Digest != "" {
		m.Descriptor = &result.Manifest
	}
	if len(result.Platforms) > 1 {
		for _, p := range result.Platforms {
			m.Platforms = append(m.Platforms, platformMetadata{p.Platform, p.Manifest.Digest, p.Config, p.Layers})
		}
	}
	if m.Layers == nil {
		m.Layers = []build.Layer{}
	}
	text, err := json.MarshalIndent(m, "", "  ")
	return append(text, '\n'), err
}

// The bounds of where the summary cuts a step's text, and how wide its other columns are at most.
const (
	maxStepWidth = 48
	minStepWidth = 12
	otherColumns = 50
)

// summaryWidth is where the lines of the summary should end; 0: anywhere.
func summaryWidth(w io.Writer) int {
	if !isTerminal(w) {
		return 0
	}
	width, _ := sizeOf(w)()
	return width
}

// writeSummary lists the layers of each platform, bottom to top. Lines are no longer than width, unless that is 0 or leaves
// no room for a step. A stderr that is gone does not make the build fail.
func writeSummary(w io.Writer, width int, result *build.Result) {
	if len(result.Platforms) == 0 {
		return
	}
	var sum build.Layer
	for _, p := range result.Platforms {
		if len(result.Platforms) > 1 {
			fmt.Fprintln(w, p.Platform)
		}
		addLayer(&sum, writeLayers(w, width, p.Layers))
	}
	writeUnchanged(w, sum.Unchanged, sum.UnchangedBytes)
	if sum.ReusedBytes > 0 {
		fmt.Fprintf(w, "%s of packed blocks came from earlier layers\n", size(sum.ReusedBytes))
	}
	writeWork(w, "packing", result.Packing)
	writeWork(w, "pushing", result.Pushing)
	for _, name := range result.Names {
		fmt.Fprintln(w, "image", familiar(name))
	}
}

// writeLayers writes a table of layers, and returns their sum.
func writeLayers(w io.Writer, width int, layers []build.Layer) (sum build.Layer) {
	stepWidth := maxStepWidth
	if width > 0 {
		stepWidth = min(max(width-otherColumns, minStepWidth), maxStepWidth)
	}
	t := table{columns: []column{
		{title: "LINE", right: true},
		{title: "LAYER", max: stepWidth},
		{title: "UNPACKED", right: true},
		{title: "PACKED", right: true},
		{title: "STEP", right: true},
		{title: "PACKING", right: true},
	}}
	for _, layer := range layers {
		t.add(summaryRow(layer)...)
		addLayer(&sum, layer)
	}
	t.add("", plural(len(layers), "layer"), unpacked(sum), size(sum.Size), "", "")
	_ = t.write(w)
	return sum
}

func addLayer(sum *build.Layer, layer build.Layer) {
	sum.Size += layer.Size
	sum.UncompressedSize += layer.UncompressedSize
	sum.Unchanged += layer.Unchanged
	sum.UnchangedBytes += layer.UnchangedBytes
	sum.ReusedBytes += layer.ReusedBytes
}

// writeWork says how much of some work cost no time. Work that takes less than a tenth of a second is not worth a line.
func writeWork(w io.Writer, what string, work build.Work) {
	const least = 0.1 // seconds
	if work.Seconds < least {
		return
	}
	fmt.Fprintf(w, "%s took %s, of which %s (%.0f%%) while steps ran\n", what, seconds(work.Seconds), seconds(work.Hidden), 100*work.Hidden/work.Seconds)
}

func summaryRow(layer build.Layer) []string {
	line, step, packing := strconv.Itoa(layer.Line), seconds(layer.Seconds), seconds(layer.PackSeconds)
	if layer.Cached {
		step = "cached"
	}
	if layer.PackSeconds == 0 {
		packing = "-"
	}
	if layer.Base {
		line, step = "base", "-"
	}
	return []string{line, printable(firstLine(layer.CreatedBy)), unpacked(layer), size(layer.Size), step, packing}
}

// unpacked is the size of a layer's tar, which for one of a base may be unknown.
func unpacked(layer build.Layer) string {
	if layer.UncompressedSize == 0 {
		return "-"
	}
	return size(layer.UncompressedSize)
}
