package difftest

import "slices"

// suite are the rows, in order.
var suite = []row{
	{Row{
		"1", "a deleted file is one empty .wh. file with mode 0, owner 0:0 and time 0",
		"A deletion that carries the moment or an owner gives the same build another digest each time.",
	}, deletedFiles},
	{Row{
		"2", "a deleted tree is one .wh. file, with nothing below",
		"A deletion for each file makes the layer as long as what was deleted.",
	}, deletedTrees},
	{Row{
		"3", "a directory that is made again is itself, an opaque marker, and what is new in it",
		"Deletions one by one cost a walk of the base: a package cache that is made again takes minutes.",
	}, remadeDirectories},
	{Row{
		"4", "a new directory has no opaque marker",
		"A marker where nothing is hidden makes layers differ that are the same, and trips readers of single layers.",
	}, newDirectories},
	{Row{
		"5", "a path that changes its type unpacks cleanly, with nothing of the old",
		"The image cannot be pulled, or has files of both.",
	}, changedTypes},
	{Row{
		"6", "content that changed with size and time restored is in the layer",
		"A patched program with its old time, as package tools and rsync make it, is the old program in the image.",
	}, restoredTimes},
	{Row{
		"7", "an entry of which only an attribute changed is in the layer",
		"setcap, setfacl and setfattr in a step of their own have no effect in the image.",
	}, changedAttributes},
	{Row{
		"8", "attributes of the file are kept, those of the mount and of the machine are not",
		"Files lose access lists and labels of their own; or the image has the builder's labels, which another machine refuses.",
	}, keptAttributes},
	{Row{
		"9", "a changed root directory is an entry",
		"The root of the container keeps the mode or owner of the base.",
	}, roots},
	{Row{
		"10", "a new name of a file of the base brings both names, as one file",
		"The file is stored twice, and the names go apart when one is written to.",
	}, linksToBase},
	{Row{
		"11", "names of one file are one file and links to it, in path order",
		"Files that a step linked are stored as many times, or files are linked that never were.",
	}, newLinks},
	{Row{
		"12", "what was copied up and is unchanged is not in the layer",
		"A moved database or a chown without effect stores gigabytes again.",
	}, unchanged},
	{Row{
		"13", "a parent of a change is there once, before it, with its own metadata",
		"A directory loses its owner or its sticky bit because a file in it changed.",
	}, parents},
	{Row{
		"14", "renamed directories and files whose bytes stayed below are whole",
		"On machines where the kernel has these options on, files are missing or full of zeros.",
	}, keptBelow},
	{Row{
		"14b", "linked files on a mount with an index, and paths too long for a system call, are right or an error",
		"A change is lost under one of two names; or a long path breaks the build without a name.",
	}, limits},
	{Row{
		"15", "a file with the name of a deletion is an error",
		"Unpacking the image deletes another file instead.",
	}, reserved},
	{Row{
		"16", "sockets are left out, and hide what they took the place of",
		"Layers cannot hold sockets: the build must go on, and what the socket replaced must not come back.",
	}, sockets},
	{Row{
		"17", "a file that cannot be read as it was is an error that names it",
		"The image ships without the file, or with half of it, and nobody is told.",
	}, unreadable},
	{Row{
		"18", "a sparse file is whole in a plain tar, and its holes are never read",
		"A disk image of mostly nothing takes minutes to read, or cannot be unpacked by others.",
	}, sparse},
	{Row{
		"19", "special files, bits, owners, sizes, names and times are exact",
		"Programs fail in the image that worked in the step.",
	}, exact},
	{Row{
		"20", "nothing of the machine is in the layer: names of owners, access and change times, device numbers",
		"The same build gives another digest on each machine.",
	}, anywhere},
	{Row{
		"21", "a deletion of what no lower layer has is nothing",
		"The layer's bytes depend on what was there in between.",
	}, deletedNothing},
	{Row{
		"22", "100,000 names in a directory, paths of 4,095 bytes and 500 levels work, in bounded memory",
		"Dependency trees and caches of real builds break the build, or take the builder down.",
	}, large},
}

// numbered returns a tree of so many files.
func numbered(n int) string {
	return string(slices.Concat(slices.Collect(numbers(n))...))
}
