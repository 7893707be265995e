package main

import (
	"errors"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// unmountBelow takes away what an interrupted builder left mounted in its root.
func unmountBelow(dir string) error {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	points := pointsBelow(string(mounts), dir)
	for _, point := range slices.Backward(points) {
		err = errors.Join(err, unix.Unmount(point, unix.MNT_DETACH))
	}
	return err
}

// pointsBelow are the mount points in or at a directory, in the order that they were mounted.
func pointsBelow(mountinfo, dir string) (points []string) {
	const pointField = 4
	for line := range strings.Lines(mountinfo) {
		fields := strings.Fields(line)
		if len(fields) <= pointField {
			continue
		}
		point := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(fields[pointField])
		if point == dir || strings.HasPrefix(point, dir+"/") {
			points = append(points, point)
		}
	}
	return points
}
