// Package source holds the trees that COPY and ADD read: ignore rules, selection, content digest, copying into a root.
package source

import (
	"context"
	"errors"
	"io"

	"github.com/opencontainers/go-digest"
)

var (
	// ErrNotFound is wrapped by the error of a source that names nothing in its tree.
	ErrNotFound = errors.New("not found")
	// ErrOutside is wrapped by the error of a source that leads out of its tree, by its name or through a link.
	ErrOutside = errors.New("outside the tree")
)

// SourceError is the error of one source of a COPY or ADD.
type SourceError struct {
	Source string // as typed
	Err    error
}

func (e *SourceError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *SourceError) Unwrap() error { return e.Err }

// Options says how a tree is read. The zero value reads all of it, with the owners it has.
type Options struct {
	Ignore    []string     // patterns of an ignore file, as ReadIgnore gives them; nil: nothing is left out
	RootOwned bool         // true for contexts: every entry counts as owned by 0:0
	Digests   *DigestCache // digests of files by name and times, so that unchanged files are not read again; may be nil
}

// Tree is a directory that COPY and ADD read.
type Tree struct{}

// Open opens the tree at dir. The caller closes it, after the last use of what was selected from it.
func Open(dir string, opts Options) (*Tree, error) { return nil, errors.ErrUnsupported }

// Close ends the use of the tree and of every Selection from it.
func (t *Tree) Close() error { return nil }

// ReadIgnore reads the ignore patterns for a Buildfile and a context directory.
func ReadIgnore(dir, buildfile string) ([]string, error) { return nil, errors.ErrUnsupported }

// Selection is what the sources of one COPY or ADD name, in order.
type Selection struct{}

// Select finds what sources name.
func (t *Tree) Select(ctx context.Context, sources []string) (*Selection, error) {
	return nil, errors.ErrUnsupported
}

// File is an inline document, as a heredoc gives it.
type File struct {
	Name string
	Data []byte
}

// Inline selects documents that are part of the Buildfile.
func Inline(files []File) *Selection { return &Selection{} }

// Append adds what other selects behind what s selects.
func (s *Selection) Append(other *Selection) {}

// Digest is the digest of everything that Copy would copy, mtimes and places left out.
func (s *Selection) Digest(ctx context.Context) (digest.Digest, error) {
	return "", errors.ErrUnsupported
}

// Owner is a user and a group by number.
type Owner struct {
	UID, GID int
}

// CopyOptions says what Copy changes on the way. The zero value changes nothing.
type CopyOptions struct {
	Owner  *Owner // nil keeps the owners
	Mode   string // of --chmod, octal or symbolic; "" keeps the modes
	Unpack bool   // as ADD: a source that is a tar archive, also compressed, is unpacked at dest
}

// CheckMode returns why spec cannot be a --chmod.
func CheckMode(spec string) error { return nil }

// Copy puts a selection at dest, a path inside the tree at root.
func Copy(ctx context.Context, root string, sel *Selection, dest string, opts CopyOptions) error {
	return errors.ErrUnsupported
}

// LookupOwner resolves a --chown against the files of the tree at root.
func LookupOwner(root, spec string) (Owner, error) { return Owner{}, errors.ErrUnsupported }

// Extract unpacks a tar, also compressed, as a build context into dir.
func Extract(ctx context.Context, r io.Reader, dir string) error { return errors.ErrUnsupported }

// DigestCache remembers digests of files.
type DigestCache struct{}

// LoadDigests reads what Save wrote. A missing or damaged file gives an empty cache.
func LoadDigests(file string) (*DigestCache, error) { return &DigestCache{}, nil }

// Save writes the cache to file, whole or not at all.
func (c *DigestCache) Save(file string) error { return nil }
