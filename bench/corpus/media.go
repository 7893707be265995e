package corpus

import (
	"fmt"
	"strings"
)

// newMedia makes files that hold what a codec has squeezed already, behind a header that says so.
func newMedia(s *source) maker {
	w := newWords(s, 500)
	return func(number int) file {
		var header strings.Builder
		header.WriteString("\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x48\x00\x48\x00\x00")
		fmt.Fprintf(&header, "<x:xmpmeta><rdf:Description title=%q tool=\"camera\"/></x:xmpmeta>", w.sentence())
		data := make([]byte, header.Len()+30_000+s.low(900_000))
		s.fill(data[copy(data, header.String()):])
		return file{fmt.Sprintf("usr/share/media/%s-%d.jpg", w.word(), number), 0o644, data}
	}
}

// newSparse makes files of zeros, with a page of data here and there.
func newSparse(s *source) maker {
	const page = 4096
	return func(number int) file {
		data := make([]byte, page*s.between(128, 2048))
		for range len(data) / page / 40 {
			at := page * s.below(len(data)/page)
			s.fill(data[at : at+s.between(16, page)])
		}
		return file{fmt.Sprintf("var/lib/disks/disk-%d.img", number), 0o644, data}
	}
}
