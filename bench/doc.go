// Package bench measures how fast and how small codecs make the layers of images.
//
// Run compresses each input with each codec, level and number of workers, several times, and checks every result by
// decompressing it. A Report has what was measured, and is written as table, JSON and CSV; package bench/chart draws it.
// In what this package prints a MB is a million bytes.
//
// Package bench/corpus makes the inputs that need no files, and Tree makes directories to pack.
package bench
