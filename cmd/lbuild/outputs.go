package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tonistiigi/go-csvvalue"

	"github.com/lbuild/lbuild/build"
	"github.com/lbuild/lbuild/diff/compress"
)

// standardStream is the name for stdin or stdout in place of a file.
const standardStream = "-"

// parseOutput reads one --output: "type=…,key=value,…" as CSV, a directory alone, or "-" for a tar on stdout.
// Where the output goes to stdout, Dest is "-" and Writer is still nil.
func parseOutput(text string) (build.Output, error) {
	if text == "" {
		return build.Output{}, errors.New(`an output is empty, want "type=…" or a directory`)
	}
	fields, err := csvvalue.Fields(text, nil)
	if err != nil {
		return build.Output{}, fmt.Errorf("output %q: %w", text, err)
	}
	if len(fields) == 1 && !strings.Contains(fields[0], "=") {
		return bareOutput(fields[0]), nil
	}
	var p outputParser
	for _, field := range fields {
		if err := p.field(field); err != nil {
			return build.Output{}, fmt.Errorf("output %q: %w", text, err)
		}
	}
	out, err := p.output()
	if err != nil {
		return build.Output{}, fmt.Errorf("output %q: %w", text, err)
	}
	return out, nil
}

func bareOutput(dest string) build.Output {
	if dest == standardStream {
		return build.Output{Type: build.OutputTar, Dest: dest}
	}
	return build.Output{Type: build.OutputLocal, Dest: dest}
}

// outputParser collects the fields of one output, which may come in any order.
type outputParser struct {
	out    build.Output
	seen   []string
	codec  string
	level  string
	notTar bool // tar=false
}

// keysOf lists which keys each type of output takes, besides type.
func keysOf(t build.OutputType) []string {
	packing := []string{"name", "compression", "compression-level", "force-compression"}
	switch t {
	case build.OutputOCI:
		return append(packing, "dest", "tar")
	case build.OutputDocker:
		return append(packing, "dest")
	case build.OutputImage, build.OutputRegistry:
		return packing
	default:
		return []string{"dest"}
	}
}

var outputTypes = []build.OutputType{
	build.OutputOCI, build.OutputDocker, build.OutputLocal, build.OutputTar, build.OutputRegistry, build.OutputImage,
}

func (p *outputParser) field(field string) error {
	key, value, ok := strings.Cut(field, "=")
	if !ok {
		return fmt.Errorf("%q has no value, want key=value", field)
	}
	key = strings.ToLower(key)
	if slices.Contains(p.seen, key) {
		return fmt.Errorf("%s is given twice", key)
	}
	p.seen = append(p.seen, key)
	return p.set(key, value)
}

func (p *outputParser) set(key, value string) (err error) {
	switch key {
	case "type":
		p.out.Type = build.OutputType(value)
		if !slices.Contains(outputTypes, p.out.Type) {
			return fmt.Errorf("unknown type %q, want one of oci, docker, local, tar, registry, image", value)
		}
	case "dest":
		p.out.Dest = value
	case "name":
		p.out.Names, err = parseNames(strings.Split(value, ","))
		return err
	case "tar":
		tar, err := parseBool(key, value)
		p.notTar = !tar
		return err
	case "compression":
		p.codec = value
	case "compression-level":
		p.level = value
	case "force-compression":
		p.out.ForceCompression, err = parseBool(key, value)
		return err
	default:
		return fmt.Errorf("unknown key %q, want type, %s", key, strings.Join(keysOf(build.OutputOCI), ", "))
	}
	return nil
}

func parseBool(key, value string) (bool, error) {
	b, err := strconv.ParseBool(value)
	if err != nil {
		return false, fmt.Errorf("%s=%q is neither true nor false", key, value)
	}
	return b, nil
}

// output checks the fields against each other.
func (p *outputParser) output() (build.Output, error) {
	if p.out.Type == "" {
		return p.out, errors.New("the type is missing")
	}
	allowed := keysOf(p.out.Type)
	for _, key := range p.seen {
		if key != "type" && !slices.Contains(allowed, key) {
			return p.out, fmt.Errorf("type %s takes no %s", p.out.Type, key)
		}
	}
	p.out.Dir = p.notTar
	if err := p.checkDest(allowed); err != nil {
		return p.out, err
	}
	return p.out, p.setCompression()
}

func (p *outputParser) checkDest(allowed []string) error {
	if !slices.Contains(allowed, "dest") {
		return nil
	}
	if p.out.Dest == "" {
		return fmt.Errorf("type %s needs dest=", p.out.Type)
	}
	if p.out.Dest == standardStream && (p.out.Dir || p.out.Type == build.OutputLocal) {
		return errors.New("a directory cannot go to stdout")
	}
	return nil
}

func (p *outputParser) setCompression() error {
	if p.codec == "" {
		if p.level != "" {
			return errors.New("compression-level needs compression")
		}
		return nil
	}
	text := p.codec
	if p.level != "" {
		text += ":" + p.level
	}
	c, err := compress.Parse(text)
	p.out.Compression = &c
	return err
}

// makesImage reports whether one of the outputs, or none at all, asks for an image and not just for files.
func makesImage(outputs []build.Output) bool {
	return len(outputs) == 0 || slices.ContainsFunc(outputs, func(o build.Output) bool {
		return o.Type != build.OutputLocal && o.Type != build.OutputTar
	})
}

// toStdout counts the outputs that go to stdout.
func toStdout(outputs []build.Output) int {
	n := 0
	for _, out := range outputs {
		if out.Dest == standardStream {
			n++
		}
	}
	return n
}
