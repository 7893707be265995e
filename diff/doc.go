// Package diff tells what changed in a directory tree, as values in path order.
//
// Upper reads the upper directory of an overlay mount. The upper directory holds what changed, in overlayfs's own
// terms; Upper says the same in plain ones, without mounting anything and without walking the lower directories:
//
//  1. List a directory of the upper one, sorted. Its whiteouts become deletions of those names that the lower
//     directories have.
//  2. Look up each other name in the list of lower directories by overlayfs's rules: topmost first, whiteouts and
//     opaque directories stop the search, a redirect changes where it goes on. What the upper directory holds just as
//     the lower ones do, in metadata and bytes, is left out.
//  3. A directory is told when it changed itself, or when something below it is told, and then it is walked. One that
//     hides its lower content is told as opaque and walked as new; one that was renamed is walked as the mount would
//     show it, and all of it is new.
//  4. The names of one file, found by device and inode number, become a file and links to it.
//
// The cost grows with the upper directory and with the number of lower directories, not with what these hold.
//
// Trees compares two plain trees instead. It has to list both and to read all files that look the same, needs no overlay,
// and sees more: which names of files were taken apart.
//
// Nothing in a tree leads outside of it: each path is resolved below a descriptor of the tree's root and no symbolic
// link is followed. A change that the upper directory shows but that cannot be told is an error with its path, never left out.
//
// # What overlayfs cannot tell
//
// On a mount with index=off, changing one of several names of a lower file separates it from the others. The upper
// directory does not say so if nothing else changed, and neither does Upper. With index=on the other names change too,
// and Upper fails with ErrLinked where it would have to search the lower directories for them; so it does on a mount with
// redirect_dir=on where a directory was moved that has some names of a lower file, and not all. One case leaves no trace in
// the upper directory at all: one of the names is removed first, and then the file changes under another one. The kernel
// writes to its index alone, which is in the work directory, and Upper tells the removal only. Mounts that are to be
// told exactly have index=off.
package diff
