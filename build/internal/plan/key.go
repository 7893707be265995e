package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"strconv"
)

// revision is part of every key; raise it when the inputs of a key or the meaning of a record change.
const revision = "2"

// Key names an op by its content, as hex: what it does and what it reads, but not what it stands on. Keys are compared,
// never parsed.
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
