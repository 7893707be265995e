// Package cache names steps by their content, and keeps the record of what each made.
//
// A step's key hashes its parent's key and everything that the step can see. Two steps with one key would make the
// same tree, so the second one takes the snapshot of the first. Keys are compared, never parsed; a change of what
// goes into them raises revision, and old records are simply not found any more.
package cache

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"strconv"
)

// revision is part of every key; raise it when the inputs of a key or the meaning of a record change.
const revision = "1"

// Key names a step by its content, as hex.
type Key string

// NewKey hashes fields in order. No two different lists of fields give the same input to the hash.
func NewKey(fields ...string) Key {
	h := sha256.New()
	field(h, revision)
	for _, f := range fields {
		field(h, f)
	}
	return Key(hex.EncodeToString(h.Sum(nil)))
}

// field writes s behind its length, so that ("ab", "c") and ("a", "bc") differ.
func field(h hash.Hash, s string) {
	h.Write([]byte(strconv.Itoa(len(s)) + ":" + s))
}

// List is a field that holds several strings.
func List(items []string) string {
	return string(NewKey(items...))
}
