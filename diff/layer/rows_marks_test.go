package layer_test

import (
	"strings"

	"github.com/lbuild/lbuild/diff"
)

var mounts = []row{
	{
		name:  "a directory is renamed into one that other lower directories have",
		mount: []string{"redirect_dir=on"},
		lower: []string{"d/", "a/\na/f \"x\"", "a/\na/g \"y\""},
		step:  `mv a d/b`,
		want:  ".wh.a\nd/\nd/b/\nd/b/f \"x\"\nd/b/g \"y\"",
	},
	{
		name:  "a renamed directory brings nothing that was hidden above it",
		mount: []string{"redirect_dir=on"},
		lower: []string{"a/ trusted.overlay.opaque=\"y\"\na/b/\na/b/f", "a/\na/b/\na/b/hidden"},
		step:  `mv a/b c`,
		want:  "a/\na/.wh.b\nc/\nc/f",
	},
}

// foreign are steps that write overlay's attributes themselves.
var foreign = []row{
	{
		name:     "marks in the namespace that the mount does not use are data and mean nothing",
		lower:    []string{"d/\nd/old\ne/\ne/old\nf \"x\"\ng"},
		step:     userMarksByHand,
		want:     markedByHand,
		onlyRoot: "marks in trusted.",
	},
	{
		name:     "marks in the namespace of the mount are data of an overlay inside it and mean nothing",
		lower:    []string{"d/\nd/old\ne/\ne/old\nf \"x\"\ng"},
		step:     strings.ReplaceAll(userMarksByHand, userMarks, trustedMarks),
		want:     strings.ReplaceAll(markedByHand, userMarks, trustedMarks),
		onlyRoot: "attributes in trusted.",

		unpackLoses: "trusted attributes",
	},
	{
		name:  "marks in the user's namespace are data of an overlay inside it and mean nothing",
		mount: []string{"userxattr"},
		lower: []string{"d/\nd/old\ne/\ne/old\nf \"x\"\ng"},
		step:  userMarksByHand,
		opts:  diff.UpperOptions{UserXattr: true},
		want:  markedByHand,
	},
	{
		name:  "marks of an overlay two deeper lose one level",
		lower: []string{"d/\nd/old"},
		step:  `setfattr -n trusted.overlay.overlay.opaque -v y d; setfattr -n trusted.overlay.overlay.overlay.redirect -v / d`,
		want:  `d/ trusted.overlay.overlay.opaque="y" trusted.overlay.overlay.overlay.redirect="/"`,

		onlyRoot:    "attributes in trusted.",
		unpackLoses: "trusted attributes",
	},
	{
		name:        "trusted attributes that are not overlay's",
		step:        `touch f; setfattr -n trusted.k -v v f; setfattr -n trusted.overlayer -v v f`,
		want:        `f trusted.k="v" trusted.overlayer="v"`,
		onlyRoot:    "attributes in trusted.",
		unpackLoses: "trusted attributes",
	},
}

const userMarksByHand = `
	setfattr -n user.overlay.opaque -v y d
	setfattr -n user.overlay.redirect -v /e d
	setfattr -n user.overlay.opaque -v x e
	setfattr -n user.overlay.metacopy f
	setfattr -n user.overlay.whiteout -v y g
	setfattr -n user.overlay.origin -v o g
	touch -d @1000000000 d e f g
`

const markedByHand = `
	d/ user.overlay.opaque="y" user.overlay.redirect="/e"
	e/ user.overlay.opaque="x"
	f "x" user.overlay.metacopy=""
	g user.overlay.origin="o" user.overlay.whiteout="y"
`
