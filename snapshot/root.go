package snapshot

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/plugins/snapshots/overlay/overlayutils"
	"golang.org/x/sys/unix"
)

// prepareRoot creates the root with its directories and returns its real path.
func prepareRoot(root string) (string, error) {
	if root == "" {
		return "", errors.New("no root directory given")
	}
	if os.Geteuid() != 0 {
		return "", errors.New("needs root (uid 0) to mount overlays")
	}
	root, err := filepath.Abs(root)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(root, 0o700); err != nil {
		return "", fmt.Errorf("create: %w", err)
	}
	if root, err = filepath.EvalSymlinks(root); err != nil {
		return "", err
	}
	if strings.ContainsAny(root, `:,\`) {
		return "", errors.New(`overlay mounts cannot have ':', ',' or '\' in a path`)
	}
	if err := unix.Access(root, unix.W_OK); err != nil {
		return "", fmt.Errorf("not writable: %w", err)
	}
	return root, layOut(root)
}

func layOut(root string) error {
	// A root that has its database has been checked.
	if !exists(filepath.Join(root, "meta.db")) {
		if err := overlayutils.Supported(root); err != nil {
			return fmt.Errorf("overlay mounts do not work here: %w", err)
		}
	}
	for _, dir := range []string{"content/blobs/sha256", "content/ingest", "snapshots", "leases", "locks", "trash"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o700); err != nil {
			return fmt.Errorf("create: %w", err)
		}
	}
	return nil
}
