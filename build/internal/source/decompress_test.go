package source

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"runtime"
	"slices"
	"testing"
)

// withDictionary is xzSample with another size of the dictionary, in the coding of LZMA2.
func withDictionary(tb testing.TB, size byte) []byte {
	tb.Helper()
	const header, property, sum = 12, 16, 20 // where they lie in the sample
	data := unbase64(tb, xzSample)
	data[property] = size
	binary.LittleEndian.PutUint32(data[sum:], crc32.ChecksumIEEE(data[header:sum]))
	return data
}

func TestArchiveThatNeedsMuchMemoryIsRefused(t *testing.T) {
	hugeFrame := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3, 1, 0, 0} // zstd, a window of 2 GiB
	for name, tt := range map[string]struct {
		data []byte
		want error
	}{
		"xz, 128 MiB":                 {withDictionary(t, 30), nil},
		"xz, 192 MiB":                 {withDictionary(t, 31), errWindow},
		"xz, 4 GiB":                   {withDictionary(t, 40), errWindow},
		"xz, 4 GiB in another stream": {slices.Concat(withDictionary(t, 16), withDictionary(t, 40)), errWindow},
		"zstd, 2 GiB":                 {hugeFrame, errWindow},
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := discard(tt.data)
			runtime.ReadMemStats(&after)
			checkError(t, err, tt.want, "")
			if took := after.TotalAlloc - before.TotalAlloc; took > maxWindow+1<<20 {
				t.Errorf("it took %d bytes", took)
			}
		})
	}
}

func discard(data []byte) error {
	plain, err := decompress(bytes.NewReader(data))
	if err != nil {
		return err
	}
	defer plain.Close()
	_, err = io.Copy(io.Discard, plain)
	return err
}

func TestAddSaysThatAnArchiveNeedsMuchMemory(t *testing.T) {
	requireRoot(t)
	const want = `unpack "x.bin": the archive asks for a window of more than 128 MiB`
	checkError(t, addArchive(t, withDictionary(t, 40), makeTree(t, ""), "/", CopyOptions{}), errWindow, want)
	checkError(t, Extract(t.Context(), bytes.NewReader(withDictionary(t, 40)), t.TempDir()), errWindow, "")
}
