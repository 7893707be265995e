package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/containerd/platforms"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/spf13/cobra"

	"github.com/lbuild/lbuild/build/images"
)

func newInspectCommand(a *app) *cobra.Command {
	var format listFormat
	cmd := &cobra.Command{
		Use:   "inspect [--format table|json] IMAGE…",
		Short: "Show what images consist of, and where their layers lie",
		Long: `Show what images consist of: digests, config, and each layer from bottom to top
with its diff-id (of the plain tar), digest (of the stored blob), chain-id,
parent, and the directory that holds its files.

With --format json it prints an array with an object for each image.`,
		Args:              takes(1, -1),
		ValidArgsFunction: a.completeImages(-1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withImages(cmd.Context(), func(ctx context.Context, m *images.Images) error {
				var details []images.Detail
				for _, ref := range args {
					detail, err := m.Inspect(ctx, ref)
					if err != nil {
						return err
					}
					details = append(details, detail)
				}
				return writeDetails(a.stdout, details, format)
			})
		},
	}
	addFormatFlag(cmd, &format)
	return cmd
}

func writeDetails(w io.Writer, details []images.Detail, format listFormat) error {
	if format == formatJSON {
		out := json.NewEncoder(w)
		out.SetEscapeHTML(false)
		out.SetIndent("", "  ")
		return out.Encode(details)
	}
	for i, d := range details {
		if i > 0 {
			fmt.Fprintln(w)
		}
		if err := writeDetail(w, d); err != nil {
			return err
		}
	}
	return nil
}

// writeDetail prints one fact a line; what an image does not set is left out.
func writeDetail(w io.Writer, d images.Detail) error {
	names := make([]string, len(d.Names))
	for i, name := range d.Names {
		names[i] = familiar(name)
	}
	created := ""
	if d.Image.Created != nil {
		created = d.Image.Created.UTC().Format(time.RFC3339)
	}
	facts := []fact{
		{"names", strings.Join(names, ", ")},
		{"manifest", fmt.Sprintf("%s (%s)", d.Manifest.Digest, d.Manifest.MediaType)},
		{"config", d.Config.Digest.String()},
		{"platform", platforms.Format(d.Image.Platform)},
		{"created", created},
		{"author", d.Image.Author},
	}
	if err := writeFacts(w, "", slices.Concat(facts, configFacts(d))); err != nil {
		return err
	}
	for i, layer := range d.Layers {
		if _, err := fmt.Fprintf(w, "layer %d of %d\n", i+1, len(d.Layers)); err != nil {
			return err
		}
		if err := writeFacts(w, "  ", layerFacts(layer)); err != nil {
			return err
		}
	}
	return nil
}

func configFacts(d images.Detail) []fact {
	c := d.Image.Config
	facts := []fact{
		{"user", c.User},
		{"workdir", c.WorkingDir},
		{"entrypoint", jsonList(c.Entrypoint)},
		{"cmd", jsonList(c.Cmd)},
		{"shell", jsonList(c.Shell)},
		{"stop signal", c.StopSignal},
		{"healthcheck", healthcheck(c.Healthcheck)},
		{"ports", strings.Join(sortedKeys(c.ExposedPorts), " ")},
		{"volumes", strings.Join(sortedKeys(c.Volumes), " ")},
	}
	for _, env := range c.Env {
		facts = append(facts, fact{"env", env})
	}
	for _, key := range sortedKeys(c.Labels) {
		facts = append(facts, fact{"label", key + "=" + c.Labels[key]})
	}
	for _, trigger := range c.OnBuild {
		facts = append(facts, fact{"onbuild", trigger})
	}
	return facts
}

// healthcheck is a check as in a Buildfile; "" is none.
func healthcheck(h *dockerspec.HealthcheckConfig) string {
	if h == nil || len(h.Test) == 0 {
		return ""
	}
	var words []string
	for _, limit := range []struct {
		flag string
		time.Duration
	}{
		{"--interval", h.Interval},
		{"--timeout", h.Timeout},
		{"--start-period", h.StartPeriod},
		{"--start-interval", h.StartInterval},
	} {
		if limit.Duration != 0 {
			words = append(words, limit.flag+"="+limit.String())
		}
	}
	if h.Retries != 0 {
		words = append(words, fmt.Sprint("--retries=", h.Retries))
	}
	switch kind, rest := h.Test[0], h.Test[1:]; kind {
	case "CMD":
		words = append(words, kind, jsonList(rest))
	case "CMD-SHELL":
		words = append(append(words, "CMD"), rest...)
	default:
		words = append(words, h.Test...)
	}
	return strings.Join(words, " ")
}

func layerFacts(l images.LayerDetail) []fact {
	return []fact{
		{"created by", l.CreatedBy},
		{"diff-id", l.DiffID.String()},
		{"digest", l.Digest.String()},
		{"media type", l.MediaType},
		{"size", size(l.Size)},
		{"chain-id", l.ChainID.String()},
		{"parent", l.Parent.String()},
		{"directory", l.Directory},
	}
}

// fact is a line of inspect.
type fact struct{ name, value string }

func writeFacts(w io.Writer, indent string, facts []fact) error {
	const nameWidth = 12
	for _, f := range facts {
		if f.value == "" {
			continue
		}
		if _, err := fmt.Fprintf(w, "%s%s %s\n", indent, padRight(f.name, nameWidth), oneLine(f.value)); err != nil {
			return err
		}
	}
	return nil
}

// oneLine makes a text from an image fit a line of a list: white space becomes single spaces, and nothing in it acts on
// the terminal.
func oneLine(text string) string {
	return printable(strings.Join(strings.Fields(text), " "))
}

// jsonList writes a command as in a Buildfile; "" is an empty one.
func jsonList(words []string) string {
	if len(words) == 0 {
		return ""
	}
	text, err := json.Marshal(words)
	if err != nil {
		return strings.Join(words, " ")
	}
	return string(text)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
