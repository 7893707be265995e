package snapshot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestDecompressGoesByContent(t *testing.T) {
	const text = "what a layer holds"
	_, gzipped := layer{tar: []byte(text)}.encode(t)
	_, zstded := layer{mediaType: ocispec.MediaTypeImageLayerZstd, tar: []byte(text)}.encode(t)
	skipped := append([]byte{0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 'x', 'x'}, zstded...)
	for name, data := range map[string][]byte{
		"plain": []byte(text), "gzip": gzipped, "zstd": zstded, "zstd after a frame to skip": skipped,
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := decompressed(data); err != nil || got != text {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	if got, err := decompressed(nil); err != nil || got != "" {
		t.Errorf("nothing gives %q, %v", got, err)
	}
}

func decompressed(data []byte) (string, error) {
	r, err := Decompress(bytes.NewReader(data))
	if err != nil {
		return "", err
	}
	plain, err := io.ReadAll(r)
	return string(plain), errors.Join(err, r.Close())
}

func TestDecompressRefusesAHugeWindow(t *testing.T) {
	frame := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3} // a window of 2 GiB
	frame = append(binary.LittleEndian.AppendUint16(frame, 1), 0)
	if _, err := decompressed(frame); !errors.Is(err, zstd.ErrWindowSizeExceeded) {
		t.Errorf("got %v, want %v", err, zstd.ErrWindowSizeExceeded)
	}
}

// A program of that name would be run with the layer as its input.
func TestDecompressRunsNoProgram(t *testing.T) {
	bin := t.TempDir()
	ran := filepath.Join(bin, "ran")
	for _, name := range []string{"unpigz", "igzip", "zstd"} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n: > "+ran+"\nexec /bin/cat\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin)
	_, gzipped := layer{tar: []byte("text")}.encode(t)
	if got, err := decompressed(gzipped); err != nil || got != "text" {
		t.Errorf("got %q, %v", got, err)
	}
	if exists(ran) {
		t.Error("a program was run")
	}
}
