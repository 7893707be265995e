package buildfile

import "strings"

// maxNesting is how deep variables may stand in each other, as in ${a:-${b:-c}}: the shell lexer recurses, and its
// work grows with the square.
const maxNesting = 1000

// nesting follows how deep ${ stands in ${. It may count too much but never too little: a } closes only what was
// opened after the last quote or escape, since before those it is unclear what they hide.
type nesting struct {
	depth, deepest int
	sure           int // opened since the last quote or escape
}

func (n *nesting) scan(text string) {
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '{' && i > 0 && text[i-1] == '$':
			n.depth++
			n.sure++
			n.deepest = max(n.deepest, n.depth)
		case c == '}' && n.sure > 0:
			n.depth--
			n.sure--
		case strings.IndexByte("'\"\\`", c) >= 0:
			n.sure = 0
		}
	}
}

// line scans a line of a file. An instruction ends with a line that is neither continued nor a comment.
func (n *nesting) line(text string) {
	n.scan(text)
	trimmed := strings.TrimSpace(text)
	if trimmed != "" && !isComment(trimmed) && !strings.HasSuffix(trimmed, `\`) && !strings.HasSuffix(trimmed, "`") {
		n.depth, n.sure = 0, 0
	}
}

func tooDeep(text string) bool {
	var n nesting
	n.scan(text)
	return n.deepest > maxNesting
}
