package bench

import (
	stdgzip "compress/gzip"
	"io"
	"path"
	"runtime"
	"runtime/debug"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/klauspost/pgzip"

	"github.com/lbuild/lbuild/diff/compress"
)

// The names of the codecs.
const (
	None          = "none"           // copies
	StdGzip       = "std/gzip"       // of Go's standard library
	KlauspostGzip = "klauspost/gzip" // of github.com/klauspost/compress
	KlauspostZstd = "klauspost/zstd"
	Pgzip         = "pgzip"       // of github.com/klauspost/pgzip
	LbuildGzip    = "lbuild/gzip" // of package diff/compress, which builds use
	LbuildZstd    = "lbuild/zstd"
	Pigz          = "program/pigz" // installed programs
	Igzip         = "program/igzip"
	ZstdProgram   = "program/zstd"
)

// Names lists the codecs.
func Names() []string {
	return []string{None, StdGzip, KlauspostGzip, KlauspostZstd, Pgzip, LbuildGzip, LbuildZstd, Pigz, Igzip, ZstdProgram}
}

// Levels from 1.
const (
	maxGzip = 9
	maxZstd = 22
)

const (
	compressModule = "github.com/klauspost/compress"
	pgzipModule    = "github.com/klauspost/pgzip"
	pgzipBlock     = 1 << 20 // bytes; pgzip's own default
)

// lookup finds what does the work under a name.
func lookup(name string) (engine, bool) {
	switch name {
	case None:
		return engine{Custom: Custom{NewWriter: newCopy, NewReader: newPlain}}, true
	case StdGzip:
		return engine{Custom: Custom{newStdGzip, readStdGzip, false}, level: 6, max: maxGzip, version: runtime.Version()}, true
	case KlauspostGzip:
		return engine{Custom: Custom{newKlauspostGzip, readGzip, false}, level: 5, max: maxGzip, version: moduleVersion(compressModule)}, true
	case KlauspostZstd:
		return engine{Custom: Custom{newKlauspostZstd, readZstdAhead, true}, level: 3, max: maxZstd, version: moduleVersion(compressModule)}, true
	case Pgzip:
		return engine{Custom: Custom{newPgzip, readPgzip, true}, level: 6, max: maxGzip, version: moduleVersion(pgzipModule)}, true
	case LbuildGzip:
		return lbuildEngine(compress.Gzip, maxGzip, readGzip), true
	case LbuildZstd:
		return lbuildEngine(compress.Zstd, maxZstd, readZstd), true
	}
	return lookupProgram(name)
}

// lbuildEngine compresses as builds do, and reads as they do when they unpack a layer.
func lbuildEngine(name string, levels int, read func(io.Reader) (io.ReadCloser, error)) engine {
	own, _ := compress.Parse(compress.Compression{Name: name}.String()) // with its default level
	write := func(w io.Writer, level, workers int) (io.WriteCloser, error) {
		return compress.Compression{Name: name, Level: level}.NewWriter(w, workers)
	}
	return engine{Custom: Custom{write, read, true}, level: own.Level, max: levels, version: own.ID()}
}

func newCopy(w io.Writer, _, _ int) (io.WriteCloser, error) { return copier{w}, nil }

type copier struct{ io.Writer }

func (copier) Close() error { return nil }

func newPlain(r io.Reader) (io.ReadCloser, error) { return io.NopCloser(r), nil }

func newStdGzip(w io.Writer, level, _ int) (io.WriteCloser, error) {
	return stdgzip.NewWriterLevel(w, level)
}

func readStdGzip(r io.Reader) (io.ReadCloser, error) { return stdgzip.NewReader(r) }

func newKlauspostGzip(w io.Writer, level, _ int) (io.WriteCloser, error) {
	return gzip.NewWriterLevel(w, level)
}

func readGzip(r io.Reader) (io.ReadCloser, error) { return gzip.NewReader(r) }

func newPgzip(w io.Writer, level, workers int) (io.WriteCloser, error) {
	z, err := pgzip.NewWriterLevel(w, level)
	if err != nil {
		return nil, err
	}
	return pgzipWriter{z}, z.SetConcurrency(pgzipBlock, workers)
}

type pgzipWriter struct{ *pgzip.Writer }

// Close also ends the goroutines that pgzip leaves behind after an error, which only its Reset does.
func (z pgzipWriter) Close() error {
	err := z.Writer.Close()
	z.Reset(io.Discard)
	return err
}

func readPgzip(r io.Reader) (io.ReadCloser, error) { return pgzip.NewReader(r) }

func newKlauspostZstd(w io.Writer, level, workers int) (io.WriteCloser, error) {
	return zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(level)), zstd.WithEncoderConcurrency(workers))
}

// readZstdAhead decodes blocks while others are read, as is the default of the library.
func readZstdAhead(r io.Reader) (io.ReadCloser, error) {
	z, err := zstd.NewReader(r)
	if err != nil {
		return nil, err
	}
	return z.IOReadCloser(), nil
}

func readZstd(r io.Reader) (io.ReadCloser, error) {
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	return z.IOReadCloser(), nil
}

// moduleVersion is the name and version of a module in the running program.
func moduleVersion(module string) string {
	version := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == module {
				version = m.Version
			}
		}
	}
	return path.Base(module) + " " + version
}
