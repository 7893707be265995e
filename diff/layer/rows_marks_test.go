package layer_test

import (
	"strings"

	"github.com/lbuild/lbuild/diff"
)

var mounts = []row{
	{
		name:  "a renamed directory is whole under its new name",
		mount: []string{"redirect_dir=on"},
		lower: []string{"a/\na/f \"x\"\na/sub/ mode=0700\na/sub/g \"y\""},
		step:  `mv a b; printf z >b/n`,
		want:  ".wh.a\nb/\nb/f \"x\"\nb/n \"z\"\nb/sub/ mode=0700\nb/sub/g \"y\"",
	},
	{
		name:  "a directory renamed over another hides it",
		mount: []string{"redirect_dir=on"},
		lower: []string{"a/\na/f", "b/\nb/old"},
		step:  `rm -r b; mv a b`,
		want:  ".wh.a\nb/\nb/.wh..wh..opq\nb/f",
	},
	{
		name:  "a directory renamed into another directory, and one in it renamed too",
		mount: []string{"redirect_dir=on"},
		lower: []string{"a/\na/s/\na/s/f\nd/"},
		step:  `mv a d/b; mv d/b/s d/b/t; rm d/b/t/f; touch d/b/t/g`,
		want:  ".wh.a\nd/\nd/b/\nd/b/t/\nd/b/t/g",
	},
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
	{
		name:  "a directory renamed away and back is nothing",
		mount: []string{"redirect_dir=on"},
		lower: []string{"a/\na/f"},
		step:  `mv a b; mv b a`,
	},
	{
		name:  "a file whose bytes stayed below is whole",
		mount: []string{"metacopy=on", "redirect_dir=on"},
		lower: []string{"d/\nd/f \"x\"", "d/\nd/g \"y\""},
		step:  `chmod -R 0700 d`,
		want:  "d/ mode=0700\nd/f \"x\" mode=0700\nd/g \"y\" mode=0700",
	},
	{
		name:  "a renamed file whose bytes stayed below is whole",
		mount: []string{"metacopy=on", "redirect_dir=on"},
		lower: []string{"d/\nd/f \"x\"\ne/"},
		step:  `chmod 0700 d/f; mv d/f e/g`,
		want:  "d/\nd/.wh.f\ne/\ne/g \"x\" mode=0700",
	},
	{
		name:  "a file renamed twice in its directory",
		mount: []string{"metacopy=on", "redirect_dir=on"},
		lower: []string{"f \"x\""},
		step:  `chmod 0700 f; mv f g; mv g h`,
		want:  ".wh.f\nh \"x\" mode=0700",
	},
	{
		name:  "linked lower files on a mount with an index",
		mount: []string{"index=on"},
		lower: []string{"a \"x\"\nb => a"},
		step:  `printf y >a; touch b`,
		want:  "a \"y\"\nb => a",

		onlyRoot: "an index",
	},
	{
		name:  "all marks in the user's namespace",
		mount: []string{"userxattr"},
		lower: []string{"d/\nd/f\ne/"},
		step:  `rm -r d; mkdir d; setfattr -n user.k -v v e`,
		opts:  diff.UpperOptions{UserXattr: true},
		want:  "d/\nd/.wh..wh..opq\ne/ user.k=\"v\"",
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
