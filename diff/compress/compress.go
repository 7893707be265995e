// Package compress turns the bytes of a layer into those of a blob, by codecs that have a name and a level.
//
// What a codec writes depends on its input, its level and its ID alone: never on the number of workers or cores, the
// machine's architecture, or how the input was cut into writes.
package compress

import (
	"fmt"
	"path"
	"runtime/debug"
	"strconv"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Compression names a codec and its level. It is a value to compare, print and parse; the zero one is gzip.
type Compression struct {
	// Name is "none", "gzip" or "zstd". Default: gzip.
	Name string
	// Level is 1 to 9 for gzip and 1 to 22 for zstd, more for smaller blobs. Default: the codec's own.
	Level int
}

// The names of the codecs.
const (
	None = "none"
	Gzip = "gzip"
	Zstd = "zstd"
)

// codec is what the package knows about one name.
type codec struct {
	mediaType string
	level     int      // default; 0: there are no levels
	max       int      // highest level
	revision  int      // counts the changes to this package that change bytes
	modules   []string // that do the work
}

const (
	compressModule = "github.com/klauspost/compress"
)

// lookup finds the codec of a name.
func lookup(name string) (codec, bool) {
	switch name {
	case None:
		return codec{mediaType: ocispec.MediaTypeImageLayer}, true
	case Gzip:
		return codec{ocispec.MediaTypeImageLayerGzip, gzipLevel, 9, 4, []string{compressModule}}, true
	case Zstd:
		return codec{ocispec.MediaTypeImageLayerZstd, zstdLevel, 22, 4, []string{compressModule}}, true
	}
	return codec{}, false
}

// Parse reads a compression as String writes it: a name, and a level after a colon if it is not the default.
func Parse(s string) (Compression, error) {
	name, level, hasLevel := strings.Cut(s, ":")
	c := Compression{Name: name}
	if name == "" {
		return Compression{}, fmt.Errorf("compression %q: no name (want none, gzip or zstd)", s)
	}
	if hasLevel {
		n, err := strconv.Atoi(level)
		if err != nil || n == 0 {
			return Compression{}, fmt.Errorf("compression %q: level %q is not a number above 0", s, level)
		}
		c.Level = n
	}
	c, _, err := c.codec()
	return c, err
}

// codec returns what c means with nothing left to default, or an error where the name or level is unknown.
func (c Compression) codec() (Compression, codec, error) {
	if c.Name == "" {
		c.Name = Gzip
	}
	k, ok := lookup(c.Name)
	switch {
	case !ok:
		return c, k, fmt.Errorf("compression %q is unknown (want none, gzip or zstd)", c.Name)
	case c.Level != 0 && k.max == 0:
		return c, k, fmt.Errorf("compression %s has no levels", c.Name)
	case c.Level < 0 || c.Level > k.max:
		return c, k, fmt.Errorf("compression %s: level %d is not within 1 to %d", c.Name, c.Level, k.max)
	case c.Level == 0:
		c.Level = k.level
	}
	return c, k, nil
}

// String is the name and the level, as Parse reads them.
func (c Compression) String() string {
	c, _, _ = c.codec()
	if c.Level == 0 {
		return c.Name
	}
	return c.Name + ":" + strconv.Itoa(c.Level)
}

// MediaType is the layer media type of image-spec; empty for an unknown name.
func (c Compression) MediaType() string {
	_, k, _ := c.codec()
	return k.mediaType
}

// ID names the encoder: equal IDs write equal bytes for equal input. It holds the name, the level, and the versions of
// what encodes, so records that are kept under it are not found after an update that may change bytes.
func (c Compression) ID() string {
	c, k, err := c.codec()
	if err != nil || k.level == 0 {
		return c.String()
	}
	id := fmt.Sprintf("%s/r%d", c, k.revision)
	for _, module := range k.modules {
		id += "+" + path.Base(module) + "@" + version(module)
	}
	return id
}

// version is that of a module in the running program, "unknown" where it does not say.
func version(module string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, m := range info.Deps {
		if m.Path != module {
			continue
		}
		if m.Replace != nil {
			m = m.Replace
		}
		return m.Version
	}
	return "unknown"
}
