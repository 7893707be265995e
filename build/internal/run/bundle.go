package run

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// idPrefix starts the name of every container, and so of its directory and
// its cgroup.
const idPrefix = "lbuild-"

// bundle is the directory of one container: SCRATCH/ID.
type bundle struct {
	id, dir string
}

// newBundle makes an empty bundle with a name that no other process has.
func newBundle(scratch string) (bundle, error) {
	var id [8]byte
	if _, err := rand.Read(id[:]); err != nil {
		return bundle{}, err
	}
	b := bundleAt(scratch, idPrefix+hex.EncodeToString(id[:]))
	if err := os.Mkdir(b.dir, 0o700); err != nil {
		return bundle{}, fmt.Errorf("container scratch: %w", err)
	}
	return b, nil
}

func bundleAt(scratch, id string) bundle {
	return bundle{id: id, dir: filepath.Join(scratch, id)}
}

func (b bundle) remove() error { return os.RemoveAll(b.dir) }

func (b bundle) state() string   { return filepath.Join(b.dir, "state") }
func (b bundle) log() string     { return filepath.Join(b.dir, "log.json") }
func (b bundle) pidFile() string { return filepath.Join(b.dir, "pid") }

// cgroup is the container's path in every cgroup hierarchy. It is a child of
// the root itself: a shared parent could not be removed without a race.
func (b bundle) cgroup() string { return "/" + b.id }

func (b bundle) writeConfig(spec *specs.Spec) error {
	config, err := json.Marshal(spec)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(b.dir, "config.json"), config, 0o600)
}

// writeFiles stores the files that the container gets over those of the image
// and returns the mounts that put them there.
func (b bundle) writeFiles(c Command) ([]specs.Mount, error) {
	resolv, err := resolvConf(c.Network)
	if err != nil {
		return nil, err
	}
	const plain, executable = 0o644, 0o755
	var mounts []specs.Mount
	add := func(f File, mode fs.FileMode) error {
		source := filepath.Join(b.dir, "file-"+strconv.Itoa(len(mounts)))
		mounts = append(mounts, specs.Mount{
			Type: "bind", Source: source, Destination: filepath.Clean(f.Path), Options: []string{"bind", "ro", "nosuid", "nodev"},
		})
		return writePublic(source, f.Data, mode)
	}
	errs := []error{
		add(File{"/etc/resolv.conf", resolv}, plain),
		add(File{"/etc/hosts", hostsFile(c.hostname(), c.Hosts)}, plain),
	}
	for _, f := range c.Files {
		errs = append(errs, add(f, executable))
	}
	return mounts, errors.Join(errs...)
}

// writePublic writes a file with this very mode, whatever the umask.
func writePublic(path string, data []byte, mode fs.FileMode) error {
	if err := os.WriteFile(path, data, mode); err != nil {
		return err
	}
	return os.Chmod(path, mode)
}

// maxResolvConf bounds what is read of the machine's resolv.conf.
const maxResolvConf = 1 << 20

// resolvConf is the machine's own file for HostNetwork: there a stub resolver
// on loopback answers too. NoNetwork gets an empty one.
func resolvConf(n Network) ([]byte, error) {
	if n == NoNetwork {
		return nil, nil
	}
	f, err := os.Open("/etc/resolv.conf")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxResolvConf))
}

func hostsFile(hostname string, extra []Host) []byte {
	var buf bytes.Buffer
	fmt.Fprintf(&buf, "127.0.0.1\tlocalhost %s\n", hostname)
	fmt.Fprintf(&buf, "::1\tlocalhost ip6-localhost ip6-loopback\n")
	for _, h := range extra {
		fmt.Fprintf(&buf, "%s\t%s\n", h.IP, h.Name)
	}
	return buf.Bytes()
}
