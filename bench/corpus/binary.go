package corpus

import (
	"encoding/binary"
	"fmt"
)

// newBinaries makes executables and libraries: the sections that a linker writes, filled with what looks to a codec as
// compiled code does.
func newBinaries(s *source) maker {
	e := &executable{words: newWords(s, 3000)}
	for range 160 {
		e.opcodes = append(e.opcodes, e.opcode())
	}
	return func(number int) file {
		e.image = e.image[:0]
		e.build(20_000 + s.low(3_000_000))
		if s.often(50) {
			return file{fmt.Sprintf("usr/bin/%s-%d", e.word(), number), 0o755, e.image}
		}
		return file{fmt.Sprintf("usr/lib/lib%s-%d.so.%d", e.word(), number, s.low(9)), 0o644, e.image}
	}
}

// executable makes one program after the other, with the instructions of one machine.
type executable struct {
	*words
	opcodes [][]byte
	image   []byte
	idioms  []span // stretches of code that are written again
}

// span is part of the image.
type span struct{ from, to int }

// opcode is the constant bytes of one instruction.
func (e *executable) opcode() []byte {
	prefixes := [][]byte{{0x48}, {}, {0x48, 0x8b}, {0x0f}, {0x4c, 0x89}, {0x66}, {0x44}}
	code := append([]byte(nil), prefixes[e.low(len(prefixes))]...)
	for range e.between(1, 2) {
		code = append(code, byte(e.next()))
	}
	return code
}

// build writes an image of about size bytes.
func (e *executable) build(size int) {
	e.header()
	e.idioms = e.idioms[:0]
	e.code(size * 55 / 100)
	e.align(4096)
	e.strings(size * 12 / 100)
	e.tables(size * 14 / 100)
	e.align(4096)
	e.relocations(size * 10 / 100)
	e.symbols(size * 9 / 100)
}

// header is that of ELF for amd64, without anything behind its offsets.
func (e *executable) header() {
	e.image = append(e.image, "\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x03\x00\x3e\x00\x01\x00\x00\x00"...)
	e.put64(0x1000 + e.next()%4096*16)
	e.put64(64)
	e.align(4096)
}

func (e *executable) put64(v uint64) { e.image = binary.LittleEndian.AppendUint64(e.image, v) }
func (e *executable) put32(v uint32) { e.image = binary.LittleEndian.AppendUint32(e.image, v) }

func (e *executable) align(to int) {
	for len(e.image)%to != 0 {
		e.image = append(e.image, 0)
	}
}

// code is functions, each a run of instructions with an end and padding.
func (e *executable) code(size int) {
	for end := len(e.image) + size; len(e.image) < end; {
		e.image = append(e.image, 0xf3, 0x0f, 0x1e, 0xfa, 0x55, 0x48, 0x89, 0xe5)
		for range e.between(3, 60) {
			if len(e.idioms) > 0 && e.often(22) {
				s := e.idioms[e.below(len(e.idioms))]
				e.image = append(e.image, e.image[s.from:s.to]...)
				continue
			}
			e.instruction()
		}
		e.image = append(e.image, 0xc9, 0xc3)
		for len(e.image)%16 != 0 {
			e.image = append(e.image, 0x90)
		}
	}
}

// instruction is an opcode with an operand. Calls and loads are relative, so their operands hardly repeat.
func (e *executable) instruction() {
	from := len(e.image)
	e.image = append(e.image, pick(e.source, e.opcodes)...)
	switch e.below(10) {
	case 0, 1:
		e.image = append(e.image, 0xe8)
		e.put32(uint32(e.low(1<<21)) - 1<<20)
	case 2:
		e.put32(uint32(e.low(1 << 16)))
	case 3, 4, 5, 6:
		e.image = append(e.image, byte(e.low(32)*8))
	}
	if e.often(8) && from > 64 {
		e.idioms = append(e.idioms, span{max(from-e.between(4, 40), 0), len(e.image)})
	}
}

// strings is messages and names, each ended by a zero.
func (e *executable) strings(size int) {
	for end := len(e.image) + size; len(e.image) < end; {
		text := e.name()
		if e.often(40) {
			text = e.sentence()
		}
		e.image = append(append(e.image, text...), 0)
	}
}

// tables is small numbers in four bytes, and pointers that grow.
func (e *executable) tables(size int) {
	address := uint64(0x40_0000)
	for end := len(e.image) + size; len(e.image) < end; {
		if e.often(50) {
			for range e.between(4, 40) {
				e.put32(uint32(e.low(1 << 12)))
			}
			continue
		}
		for range e.between(4, 40) {
			address += uint64(e.low(64) * 8)
			e.put64(address)
		}
	}
}

func (e *executable) relocations(size int) {
	at := uint64(0x20_0000)
	for end := len(e.image) + size; len(e.image) < end; {
		at += 8 * uint64(1+e.low(4))
		e.put64(at)
		e.put64(8)
		e.put64(uint64(0x1000 + e.low(1<<18)*16))
	}
}

func (e *executable) symbols(size int) {
	name, value := uint32(0), uint64(0x1000)
	for end := len(e.image) + size; len(e.image) < end; {
		name += uint32(5 + e.low(30))
		value += uint64(16 + 16*e.low(60))
		e.put32(name)
		e.put32(0x000c_0012)
		e.put64(value)
		e.put64(uint64(16 * e.low(60)))
	}
}
