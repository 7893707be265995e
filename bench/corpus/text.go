package corpus

import (
	"fmt"
	"strings"
)

// newText makes files of some kilobytes: code, configuration, prose.
func newText(s *source) maker {
	w := newWords(s, 6000)
	return func(number int) file {
		var b strings.Builder
		size := 200 + s.low(24_000)
		ending := ".c"
		switch s.below(10) {
		case 0, 1:
			ending = ".conf"
			w.config(&b, size)
		case 2, 3:
			ending = ".md"
			w.prose(&b, size)
		default:
			newCode(w).write(&b, size)
		}
		path := fmt.Sprintf("usr/share/%s/%s/%s-%d%s", w.list[number/400%500], w.list[number/20%500], w.name(), number, ending)
		return file{path: path, mode: 0o644, data: []byte(b.String())}
	}
}

// config is keys and values, some of them commented.
func (w *words) config(b *strings.Builder, size int) {
	for start := b.Len(); b.Len()-start < size; {
		switch w.below(8) {
		case 0:
			fmt.Fprintf(b, "\n[%s]\n", w.word())
		case 1, 2:
			fmt.Fprintf(b, "# %s\n", w.sentence())
		case 3:
			fmt.Fprintf(b, "%s.%s = %d\n", w.word(), w.word(), w.low(100_000))
		default:
			fmt.Fprintf(b, "%s.%s = %s\n", w.word(), w.word(), w.name())
		}
	}
}

// code is one source file. It says the same few names again and again, as programs do.
type code struct {
	*words
	names []string
	depth int
}

func newCode(w *words) *code {
	c := &code{words: w, names: make([]string, w.between(10, 60))}
	for i := range c.names {
		c.names[i] = w.name()
	}
	return c
}

func (c *code) own() string { return pick(c.source, c.names) }

func (c *code) write(b *strings.Builder, size int) {
	for start := b.Len(); b.Len()-start < size; {
		c.line(b)
	}
	for ; c.depth > 0; c.depth-- {
		b.WriteString(strings.Repeat("    ", c.depth-1) + "}\n")
	}
}

func (c *code) line(b *strings.Builder) {
	indent := strings.Repeat("    ", c.depth)
	switch kind := c.below(14); {
	case kind < 2 && c.depth < 4:
		fmt.Fprintf(b, "%sif (%s->%s != %s) {\n", indent, c.own(), c.own(), c.value())
		c.depth++
	case kind < 5 && c.depth > 0:
		c.depth--
		b.WriteString(strings.Repeat("    ", c.depth) + "}\n")
	case c.depth == 0:
		fmt.Fprintf(b, "\n/* %s */\nstatic int %s(struct %s *%s)\n{\n", c.sentence(), c.own(), c.own(), c.own())
		c.depth++
	case kind < 8:
		fmt.Fprintf(b, "%s%s = %s(%s, %s);\n", indent, c.own(), c.own(), c.own(), c.value())
	case kind < 11:
		fmt.Fprintf(b, "%s%s->%s = %s;\n", indent, c.own(), c.own(), c.value())
	case kind < 12:
		fmt.Fprintf(b, "%sreturn %s;\n", indent, c.value())
	case kind < 13:
		fmt.Fprintf(b, "%sfprintf(stderr, \"%s: %%s\\n\", %s);\n", indent, c.word()+" "+c.word(), c.own())
	default:
		fmt.Fprintf(b, "%s/* %s */\n", indent, c.sentence())
	}
}

func (c *code) value() string {
	switch c.below(5) {
	case 0:
		return "NULL"
	case 1:
		return fmt.Sprint(c.low(4096))
	default:
		return c.own()
	}
}
