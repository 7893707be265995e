package corpus

import "strings"

// words is a vocabulary: the first ones are frequent and short, the many others are rare.
type words struct {
	*source
	list []string
}

func newWords(s *source, count int) *words {
	w := &words{source: s, list: make([]string, count)}
	for i := range w.list {
		w.list[i] = w.invent(1 + i*3/count)
	}
	return w
}

// invent makes a word that could be pronounced.
func (w *words) invent(syllables int) string {
	const first, middle, last = "bcdfghlmnprstvw", "aeiou", "lmnrst"
	var b strings.Builder
	for range w.between(syllables, syllables+1) {
		b.WriteByte(first[w.below(len(first))])
		b.WriteByte(middle[w.low(len(middle))])
		if w.often(40) {
			b.WriteByte(last[w.below(len(last))])
		}
	}
	return b.String()
}

func (w *words) word() string { return w.list[w.low(len(w.list))] }

// name is an identifier of one to three words.
func (w *words) name() string {
	name := w.word()
	for range w.low(3) {
		next := w.word()
		name += strings.ToUpper(next[:1]) + next[1:]
	}
	return name
}

// sentence is prose of some words, with a full stop.
func (w *words) sentence() string {
	list := make([]string, w.between(5, 18))
	for i := range list {
		list[i] = w.word()
	}
	text := strings.Join(list, " ")
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

// prose is lines of about 80 characters.
func (w *words) prose(b *strings.Builder, size int) {
	for start := b.Len(); b.Len()-start < size; {
		line := w.sentence()
		for len(line) < 60 {
			line += " " + w.sentence()
		}
		b.WriteString(line)
		b.WriteByte('\n')
		if w.often(15) {
			b.WriteByte('\n')
		}
	}
}
