package verify

import (
	"errors"
	"strings"

	"golang.org/x/sys/unix"
)

// xattrMax is the kernel's limit, for the value of one attribute and for the list of all names.
const xattrMax = 64 << 10

// xattrs reads the attributes that are compared. Without says how names begin that do not count.
func xattrs(path, without string) (map[string]string, error) {
	buf := make([]byte, xattrMax)
	n, err := unix.Llistxattr(path, buf)
	if errors.Is(err, unix.ENOTSUP) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	attrs := map[string]string{}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(buf[:n]), "\x00"), "\x00") {
		if name == "" || ignored(name) || without != "" && strings.HasPrefix(name, without) {
			continue
		}
		n, err := unix.Lgetxattr(path, name, buf)
		if err != nil {
			return nil, err
		}
		attrs[name] = anyNamespace(name, string(buf[:n]))
	}
	return attrs, nil
}

func removeXattrs(path, without string) error {
	attrs, err := xattrs(path, without)
	for name := range attrs {
		err = errors.Join(err, unix.Lremovexattr(path, name))
	}
	return err
}

// ignored are attributes that layers do not hold, or that containerd does not unpack.
func ignored(name string) bool {
	switch name {
	case "security.selinux", "security.ima", "security.evm":
		return true
	}
	return strings.HasPrefix(name, "trusted.") || strings.HasPrefix(name, "system.nfs4")
}

// anyNamespace cuts the user namespace off capabilities: 24 bytes of revision 3 become 20 of revision 2.
func anyNamespace(name, value string) string {
	if name == "security.capability" && len(value) == 24 && value[3] == 3 {
		return value[:3] + "\x02" + value[4:20]
	}
	return value
}
