package difftest

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	diskSize = 64 << 20 // bytes
	// diskCut is where the disk fails from on: behind what describes the file system, in the middle of a file of diskFile.
	diskCut = 24 << 20
	// diskFile makes a file that is on both sides of the cut.
	diskFile = `head -c 41943040 /dev/urandom >broken`
)

// mountDisk mounts a new file system of a disk of its own, and returns the file that is the disk.
func (a *attempt) mountDisk(dir string) string {
	a.Helper()
	for _, tool := range []string{"losetup", "mkfs.ext4"} {
		if _, err := exec.LookPath(tool); err != nil {
			a.Skip("needs the program " + tool)
		}
	}
	image := filepath.Join(a.dir, "disk")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		a.Fatal(err)
	}
	if err := os.Truncate(image, diskSize); err != nil {
		a.Fatal(err)
	}
	a.command("mkfs.ext4", "-q", "-O", "^has_journal", "-E", "lazy_itable_init=0", image)
	// Direct access, because the kernel otherwise reads zeros where the file ends.
	out, err := exec.Command("losetup", "--find", "--show", "--direct-io=on", image).Output()
	if err != nil {
		a.Skip("needs loop devices with direct access")
	}
	device := strings.TrimSpace(string(out))
	a.Cleanup(func() { a.command("losetup", "--detach", device) })
	if err := unix.Mount(device, dir, "ext4", 0, ""); err != nil {
		a.Fatalf("mount %s: %v", device, err)
	}
	a.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			a.Errorf("unmount %s: %v", dir, err)
		}
	})
	return image
}

// breakDisk makes the second half of the disk fail, once the file on it is written and no more in memory.
func (a *attempt) breakDisk(image, file string) {
	a.Helper()
	f, err := os.Open(file)
	if err != nil {
		a.Fatal(err)
	}
	defer f.Close()
	err = errors.Join(f.Sync(), unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED), os.Truncate(image, diskCut))
	if err != nil {
		a.Fatal(err)
	}
}

func (a *attempt) command(name string, args ...string) {
	a.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		a.Fatalf("%s: %v\n%s", name, err, out)
	}
}
