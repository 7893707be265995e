package corpus

import "encoding/binary"

// source is splitmix64. A generator of a few lines stands here so that no release of Go changes what a seed means.
type source struct{ state uint64 }

// newSource makes the sources of differently named parts differ.
func newSource(seed uint64, name string) *source {
	s := &source{seed}
	for _, c := range []byte(name) {
		s.state = s.next() ^ uint64(c)
	}
	return s
}

func (s *source) next() uint64 {
	s.state += 0x9e3779b97f4a7c15
	z := s.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// below gives a number from 0 to n-1, all as likely.
func (s *source) below(n int) int { return int(s.next() % uint64(n)) }

// between gives a number from least to most.
func (s *source) between(least, most int) int { return least + s.below(most-least+1) }

// low gives a number from 0 to n-1, small ones far more often, as words in a language.
func (s *source) low(n int) int { return s.below(1 + s.below(1+s.below(n))) }

// often is true in so many of 100 cases.
func (s *source) often(percent int) bool { return s.below(100) < percent }

// fill writes bytes that nothing compresses.
func (s *source) fill(p []byte) {
	var word [8]byte
	for len(p) > 0 {
		binary.LittleEndian.PutUint64(word[:], s.next())
		p = p[copy(p, word[:]):]
	}
}

// pick gives one of list, the first ones more often.
func pick[T any](s *source, list []T) T { return list[s.low(len(list))] }
