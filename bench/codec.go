package bench

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Codec is a way to compress, at one level.
type Codec struct {
	// Name is one of Names, or any other with Custom.
	Name string
	// Level is one that the codec has. Default: its own default.
	Level int
	// Custom does the work of a codec that this package does not know, in this process. Default: the name says who does.
	Custom *Custom
}

// Custom compresses and decompresses. Both functions must be set.
type Custom struct {
	// NewWriter compresses to w. Closing the writer ends the stream and all that it started.
	NewWriter func(w io.Writer, level, workers int) (io.WriteCloser, error)
	// NewReader decompresses what NewWriter wrote.
	NewReader func(r io.Reader) (io.ReadCloser, error)
	// Parallel says that workers matter.
	Parallel bool
}

// ErrNotInstalled says that a codec is a program that is not on PATH.
var ErrNotInstalled = errors.New("not on PATH")

// String is the name and the level, as ParseCodecs reads them.
func (c Codec) String() string {
	e, err := c.engine()
	switch level := c.Level; {
	case err != nil || e.max == 0 && level == 0:
		return c.Name
	case level == 0:
		return c.Name + ":" + strconv.Itoa(e.level)
	default:
		return c.Name + ":" + strconv.Itoa(level)
	}
}

// ParseCodecs reads a list of codecs, separated by commas: each is a name, and after a colon a level or two with a hyphen
// between them, for all levels from the first to the second.
func ParseCodecs(list string) ([]Codec, error) {
	var codecs []Codec
	for text := range strings.SplitSeq(list, ",") {
		parsed, err := parseCodec(text)
		if err != nil {
			return nil, err
		}
		codecs = append(codecs, parsed...)
	}
	return codecs, nil
}

func parseCodec(text string) ([]Codec, error) {
	name, levels, hasLevels := strings.Cut(text, ":")
	if !hasLevels {
		c := Codec{Name: name}
		_, err := c.engine()
		return []Codec{c}, err
	}
	from, to, isRange := strings.Cut(levels, "-")
	if !isRange {
		to = from
	}
	first, err := strconv.Atoi(from)
	last, err2 := strconv.Atoi(to)
	if err != nil || err2 != nil || first < 1 || last < first {
		return nil, fmt.Errorf("codec %q: want NAME:LEVEL or NAME:FIRST-LAST", text)
	}
	var codecs []Codec
	for level := first; level <= last; level++ {
		c := Codec{Name: name, Level: level}
		if _, err := c.engine(); err != nil { // also where the range is huge
			return nil, err
		}
		codecs = append(codecs, c)
	}
	return codecs, nil
}

// engine is what does the work of a codec: a program, or the two functions.
type engine struct {
	Custom
	program *program
	// level is the default. Levels go from 1 to max; 0: there are none.
	level, max int
	version    string // of a library; programs are asked
}

// engine finds who does the work of c, or says what of c is unknown.
func (c Codec) engine() (engine, error) {
	if c.Custom != nil {
		return engine{Custom: *c.Custom, level: c.Level}, nil
	}
	e, ok := lookup(c.Name)
	switch {
	case !ok:
		return e, fmt.Errorf("codec %q is unknown (want %s)", c.Name, strings.Join(Names(), ", "))
	case c.Level != 0 && e.max == 0:
		return e, fmt.Errorf("codec %s has no levels", c.Name)
	case c.Level < 0 || c.Level > e.max:
		return e, fmt.Errorf("codec %s: level %d is not within 1 to %d", c.Name, c.Level, e.max)
	case c.Level != 0:
		e.level = c.Level
	}
	return e, nil
}

// DefaultCodecs are the levels worth a look of every library, and of the programs that are installed. Missing are the
// names of the other programs.
func DefaultCodecs() (codecs []Codec, missing []string) {
	codecs, err := ParseCodecs("none,std/gzip,klauspost/gzip:1,klauspost/gzip:5,pgzip:5," +
		"lbuild/gzip:1,lbuild/gzip,lbuild/gzip:9,klauspost/zstd:3,lbuild/zstd:1,lbuild/zstd,lbuild/zstd:7")
	if err != nil {
		panic(err)
	}
	for _, c := range []Codec{{Name: Pigz}, {Name: Igzip}, {Name: ZstdProgram, Level: 1}, {Name: ZstdProgram}} {
		e, err := c.engine()
		if err == nil {
			err = e.program.installed()
		}
		switch {
		case err == nil:
			codecs = append(codecs, c)
		case !slices.Contains(missing, c.Name):
			missing = append(missing, c.Name)
		}
	}
	return codecs, missing
}

// parallel reports whether the number of workers makes a difference.
func (e engine) parallel() bool { return e.program != nil || e.Parallel }
