package corpus

import (
	"fmt"
	"strings"
)

// newNode makes packages of some files each.
func newNode(s *source) maker {
	n := &node{words: newWords(s, 5000)}
	for range 4 {
		var b strings.Builder
		n.prose(&b, n.between(700, 2500))
		n.licenses = append(n.licenses, b.String())
	}
	return n.file
}

type node struct {
	*words
	licenses []string
	name     string // of the package
	left     int    // files of the package, besides those that each has
	step     int    // which of those that each has comes next
}

// file begins a package where none is left over.
func (n *node) file(number int) file {
	if n.step == 0 && n.left == 0 {
		n.begin(number)
	}
	var b strings.Builder
	base := n.fill(&b)
	return file{path: "srv/node_modules/" + n.name + "/" + base, mode: 0o644, data: []byte(b.String())}
}

func (n *node) begin(number int) {
	n.name = fmt.Sprintf("%s-%s%d", n.word(), n.word(), number)
	if n.often(30) {
		n.name = "@" + n.list[n.low(40)] + "/" + n.name
	}
	n.step, n.left = 3, n.low(30)
}

// fill writes the next file of the package and returns its name.
func (n *node) fill(b *strings.Builder) string {
	if n.step > 0 {
		n.step--
		return n.fixed(b)
	}
	n.left--
	base := fmt.Sprintf("lib/%s-%d", n.word(), n.left)
	switch n.below(8) {
	case 0:
		n.minified(b, 2000+n.low(90_000))
		return base + ".min.js"
	case 1, 2:
		n.sourceMap(b, 1000+n.low(40_000))
		return base + ".js.map"
	case 3:
		n.types(b, 300+n.low(6_000))
		return base + ".d.ts"
	default:
		newCode(n.words).write(b, 200+n.low(16_000))
		return base + ".js"
	}
}

// fixed writes one of the files that each package has.
func (n *node) fixed(b *strings.Builder) string {
	switch n.step {
	case 2:
		n.manifest(b)
		return "package.json"
	case 1:
		b.WriteString(pick(n.source, n.licenses))
		return "LICENSE"
	}
	fmt.Fprintf(b, "# %s\n\n## Install\n\n```sh\nnpm install --save %s\n```\n\n## Usage\n\n", n.name, n.name)
	n.prose(b, 300+n.low(6000))
	return "README.md"
}

func (n *node) manifest(b *strings.Builder) {
	fmt.Fprintf(b, "{\n  \"name\": %q,\n  \"version\": \"%d.%d.%d\",\n  \"description\": %q,\n", n.name, n.low(9), n.low(30), n.low(30), n.sentence())
	b.WriteString("  \"main\": \"lib/index.js\",\n  \"license\": \"MIT\",\n  \"repository\": {\n    \"type\": \"git\",\n")
	fmt.Fprintf(b, "    \"url\": \"git+https://git.example.org/%s.git\"\n  },\n  \"dependencies\": {\n", n.name)
	for range n.low(12) {
		fmt.Fprintf(b, "    \"%s-%s\": \"^%d.%d.0\",\n", n.word(), n.word(), n.low(9), n.low(30))
	}
	fmt.Fprintf(b, "    \"%s\": \"*\"\n  },\n  \"scripts\": {\n    \"test\": \"node test/index.js\"\n  }\n}\n", n.word())
}

// minified is one long line of short names.
func (n *node) minified(b *strings.Builder, size int) {
	for start := b.Len(); b.Len()-start < size; {
		x, y, z := 'a'+rune(n.below(26)), 'a'+rune(n.low(26)), 'a'+rune(n.below(26))
		switch n.below(6) {
		case 0:
			fmt.Fprintf(b, "function %c%c(%c,%c){return %c.%s(%c)}", x, y, y, z, y, n.word(), z)
		case 1:
			fmt.Fprintf(b, "if(%c.%s===%c)throw new Error(%q);", x, n.word(), y, n.word()+" "+n.word())
		case 2:
			fmt.Fprintf(b, "var %c=%c[%d],%c=%c.%s;", x, y, n.low(300), z, y, n.word())
		default:
			fmt.Fprintf(b, "%c.%s=%c(%c,%d),", x, n.word(), y, z, n.low(50))
		}
	}
}

// sourceMap is mappings in base 64, most of them near the one before.
func (n *node) sourceMap(b *strings.Builder, size int) {
	const digits = "ACEGIKMOQSUWYacegikmoqsuwyDFHJLNBPRTVXZbdfhjlnprtvxz"
	fmt.Fprintf(b, "{\"version\":3,\"sources\":[\"../src/%s.ts\"],\"names\":[],\"mappings\":\"", n.name)
	for start := b.Len(); b.Len()-start < size; {
		b.WriteByte(digits[n.low(len(digits))])
		b.WriteString("AA"[:n.between(1, 2)])
		b.WriteByte(digits[n.low(len(digits))])
		b.WriteByte(",,,,,;"[n.below(6)])
	}
	b.WriteString("\"}\n")
}

func (n *node) types(b *strings.Builder, size int) {
	for start := b.Len(); b.Len()-start < size; {
		fmt.Fprintf(b, "export declare function %s(%s: string, %s?: %s): Promise<%s>;\n", n.words.name(), n.word(), n.word(), n.word(), n.word())
	}
}
