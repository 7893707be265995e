// Package difftest is a conformance suite for differs: functions that turn the upper directory of an overlay mount into
// an image layer.
//
// Each row of the suite is something that a step of a build does to its files, and what the layer must hold then. A row
// has one or more trials. A trial mounts an overlay, does the step in it, asks the differ for the layer, and judges:
//
//   - The layer, unpacked over the same lower directories by containerd's pkg/archive, must give the tree that the mount
//     shows: types, modes, owners, sizes, content, link targets, groups of hard links, extended attributes and whole
//     seconds of modification times.
//   - Beyond that each row has its own demands, such as the form of a deletion, a bound on the number of entries, or an
//     error that names the path of what a layer cannot hold.
//   - With Options.Exact the entries must be those that lbuild writes, in its order, and the same bytes when asked again.
//     Other layers can be as right, so this is off unless asked for.
//
// Trials are real: they need Linux, overlayfs, and root, in the machine's user namespace or in one of its own. Everything
// is made below one directory and is gone when Run returns.
package difftest
