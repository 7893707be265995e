package blocks

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
)

// A file has a line that says what it is, and for each block its key, and behind it as little endian numbers its place in
// the blob (8 bytes), its size (4) and a CRC-32C of the key and of what is there (4).
const (
	magic     = "lbuild blocks 2\n"
	keySize   = 32
	entrySize = keySize + 8 + 4 + 4
	maxPacked = 16 << 20 // bytes of a packed block; no codec makes larger ones
)

var errFormat = errors.New("not a file of blocks")

func readFile(path string) ([]block, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	data, ok := bytes.CutPrefix(data, []byte(magic))
	if !ok || len(data)%entrySize != 0 {
		return nil, errFormat
	}
	blocks := make([]block, 0, len(data)/entrySize)
	for ; len(data) > 0; data = data[entrySize:] {
		b := block{key: [keySize]byte(data)}
		at := binary.LittleEndian.Uint64(data[keySize:])
		b.size = binary.LittleEndian.Uint32(data[keySize+8:])
		b.sum = binary.LittleEndian.Uint32(data[keySize+12:])
		if b.at = int64(at); b.at < 0 || b.size == 0 || b.size > maxPacked {
			return nil, errFormat
		}
		blocks = append(blocks, b)
	}
	return blocks, nil
}

// writeFile puts a file in its place whole, from scratch. It is not synced: what a power cut
// leaves of it does not match its sums.
func writeFile(path, scratch string, blocks []block) (err error) {
	data := append(make([]byte, 0, len(magic)+len(blocks)*entrySize), magic...)
	for _, b := range blocks {
		data = append(data, b.key[:]...)
		data = binary.LittleEndian.AppendUint64(data, uint64(b.at))
		data = binary.LittleEndian.AppendUint32(data, b.size)
		data = binary.LittleEndian.AppendUint32(data, b.sum)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(scratch, "blocks-")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(f.Name()))
	}
	return err
}
