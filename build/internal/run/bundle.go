package run

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

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

func (b bundle) state() string      { return filepath.Join(b.dir, "state") }
func (b bundle) log() string        { return filepath.Join(b.dir, "log.json") }
func (b bundle) pidFile() string    { return filepath.Join(b.dir, "pid") }
func (b bundle) hosts() string      { return filepath.Join(b.dir, "hosts") }
func (b bundle) resolvConf() string { return filepath.Join(b.dir, "resolv.conf") }

// cgroup is the container's path in every cgroup hierarchy. It is a child of
// the root itself: a shared parent could not be removed without a race.
func (b bundle) cgroup() string { return "/" + b.id }

// write puts the spec and the files that are mounted over the image's into
// the bundle.
func (b bundle) write(c Command, spec *specs.Spec) error {
	config, err := json.Marshal(spec)
	if err != nil {
		return err
	}
	resolv, err := resolvConf(c.Network)
	if err != nil {
		return err
	}
	files := map[string][]byte{
		filepath.Join(b.dir, "config.json"): config,
		b.hosts():                           hostsFile(c.hostname(), c.Hosts),
		b.resolvConf():                      resolv,
	}
	for path, data := range files {
		if err := writePublic(path, data); err != nil {
			return err
		}
	}
	return nil
}

// writePublic writes a file that every user can read, whatever the umask.
func writePublic(path string, data []byte) error {
	if err := os.WriteFile(path, data, 0o644); err != nil {
		return err
	}
	return os.Chmod(path, 0o644)
}

// maxResolvConf bounds what is read of the machine's resolv.conf.
const maxResolvConf = 1 << 20

// resolvConf is the machine's own file for Host: a stub resolver on loopback
// answers there as well. None gets an empty one.
func resolvConf(n Network) ([]byte, error) {
	if n == None {
		return nil, nil
	}
	f, err := os.Open("/etc/resolv.conf")
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxResolvConf))
}

func hostsFile(hostname string, extra []HostEntry) []byte {
	var buf bytes.Buffer
	fmt.Fprintf(&buf, "127.0.0.1\tlocalhost %s\n", hostname)
	fmt.Fprintf(&buf, "::1\tlocalhost ip6-localhost ip6-loopback\n")
	for _, h := range extra {
		fmt.Fprintf(&buf, "%s\t%s\n", h.IP, h.Name)
	}
	return buf.Bytes()
}
