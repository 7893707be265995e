package compress

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

// memory keeps packed blocks, and checks what it is told against the blob.
type memory struct {
	mu    sync.Mutex
	known map[BlockKey][]byte
	found int
	ends  int64 // of the last block that was made
	made  []BlockKey
	wrong []string
}

func (m *memory) Find(key BlockKey, dst []byte) ([]byte, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	packed, ok := m.known[key]
	if ok {
		m.found++
	}
	return append(dst, packed...), ok
}

func (m *memory) Made(key BlockKey, at int64, packed []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if at < m.ends {
		m.wrong = append(m.wrong, fmt.Sprintf("block at %d, after one that ends at %d", at, m.ends))
	}
	m.ends = at + int64(len(packed))
	m.made = append(m.made, key)
	if m.known == nil {
		m.known = map[BlockKey][]byte{}
	}
	m.known[key] = bytes.Clone(packed)
}

// next is the memory for another stream.
func (m *memory) next() *memory { return &memory{known: m.known} }

// file is part of a stream that begins with a cut.
type file struct {
	name string
	data []byte
}

func packFiles(t *testing.T, c Compression, files []file, workers int, b Blocks) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := c.NewWriter(&out, workers)
	if err != nil {
		t.Fatal(err)
	}
	w.Reuse(b)
	for _, f := range files {
		err := w.Cut(f.name, int64(len(f.data)))
		if err == nil {
			_, err = w.Write(f.data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func someFiles(n, size int) (files []file) {
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range n {
		data := input(size/2 + rng.IntN(size))
		for at := 0; at < len(data); at += 8 << 10 {
			copy(data[at:], fmt.Sprint("file ", i)) // no two files have a block in common
		}
		files = append(files, file{fmt.Sprintf("usr/share/name-%04d", i), data})
	}
	return files
}

var packing = []Compression{{Name: Gzip}, {Name: Gzip, Level: 7}, {Name: Zstd}, {Name: Zstd, Level: 1}}

func TestKnownBlocksChangeNoByte(t *testing.T) {
	files := someFiles(400, 30_000)
	for _, c := range packing {
		t.Run(c.String(), func(t *testing.T) {
			want := packFiles(t, c, files, 1, nil)
			var first memory
			if got := packFiles(t, c, files, 3, &first); !bytes.Equal(got, want) {
				t.Error("a writer that tells of its blocks makes other bytes")
			}
			for key, packed := range first.known {
				if !bytes.Contains(want, packed) {
					t.Errorf("block %x is not in the blob", key)
				}
			}
			second := first.next()
			if got := packFiles(t, c, files, 2, second); !bytes.Equal(got, want) {
				t.Error("a writer that takes known blocks makes other bytes")
			}
			if len(first.made) < 3 || second.found != len(first.made) || len(second.made) != len(first.made) {
				t.Errorf("%d blocks, then %d of %d known", len(first.made), second.found, len(second.made))
			}
			if wrong := slices.Concat(first.wrong, second.wrong); len(wrong) > 0 {
				t.Error(wrong)
			}
		})
	}
}

// What differs has another size, so all behind it lies elsewhere in the stream.
func TestStreamsThatDifferInOneFileHaveMostBlocksInCommon(t *testing.T) {
	for _, test := range []struct {
		name  string
		files []file
	}{
		{"tiny files", sameSize(12_000, 300)},
		{"small files", someFiles(600, 20_000)},
		{"large files", someFiles(4, 5<<20)},
		{"whole blocks", sameSize(5, 4<<20)},
		{"blocks and some", sameSize(5, 4<<20+100<<10)},
	} {
		for _, c := range []Compression{{Name: Gzip, Level: 1}, {Name: Zstd, Level: 1}} {
			t.Run(test.name+" "+c.String(), func(t *testing.T) {
				var before memory
				packFiles(t, c, test.files, 2, &before)
				for _, more := range []int{300, 110 << 10} {
					after := before.next()
					packFiles(t, c, append([]file{{"etc/first", input(more)}}, test.files...), 2, after)
					if fresh := len(after.made) - after.found; fresh > len(after.made)/2 {
						t.Errorf("%d bytes more before them: %d of %d blocks had to be packed", more, fresh, len(after.made))
					}
				}
			})
		}
	}
}

// sameSize are files as a tar has them: a header, the content, and zeros up to the next header.
func sameSize(n, size int) (files []file) {
	for i := range n {
		data := make([]byte, 512+(size+511)&^511)
		copy(data, "header")
		for at := 512; at < size+512; at += 1 << 10 {
			copy(data[at:512+size], fmt.Sprint("file ", i, " at ", at))
		}
		files = append(files, file{fmt.Sprintf("d/pkg%d/file%d", i/50, i), data})
	}
	return files
}

func TestBlocksOfOtherLevelsAndAfterOtherBytesAreOthers(t *testing.T) {
	same := file{"same", input(2 << 20)}
	files := func(before byte) []file {
		return []file{{"before", bytes.Repeat([]byte{before, 1, 2, 3}, 100_000)}, same}
	}
	var m memory
	packFiles(t, Compression{Name: Gzip}, files('a'), 1, &m)
	made := len(m.made)
	for what, try := range map[string]struct {
		c     Compression
		files []file
		found int
	}{
		"another level":      {Compression{Name: Gzip, Level: 6}, files('a'), 0},
		"another codec":      {Compression{Name: Zstd}, files('a'), 0},
		"another dictionary": {Compression{Name: Gzip}, files('b'), made - 2}, // the first block, and the one that may refer to it
	} {
		next := m.next()
		packFiles(t, try.c, try.files, 1, next)
		if next.found != try.found {
			t.Errorf("%s: %d blocks are known, want %d of %d", what, next.found, try.found, made)
		}
	}
}

func TestCutOfShortAndOfPlainStreamsDoesNothing(t *testing.T) {
	var m memory
	packFiles(t, Compression{Name: Gzip}, someFiles(4, 20_000), 2, &m)
	packFiles(t, Compression{Name: None}, someFiles(400, 20_000), 2, &m)
	if len(m.made) > 0 {
		t.Errorf("%d blocks", len(m.made))
	}
	w, err := Compression{}.NewWriter(&bytes.Buffer{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	w.Drop()
	if err := w.Cut("name", 1<<30); !errors.Is(err, errClosed) {
		t.Errorf("cut after the end: %v", err)
	}
}
