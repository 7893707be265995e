package plan

import (
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
)

// Op is what a node does, as plain data: a *Base, *Run, *Copy or *Workdir.
type Op interface {
	// identity tells ops apart within one graph: equal ops in one place are one node.
	identity() Key
}

// Base is the tree of an image.
type Base struct {
	Image    ImageRef
	Manifest digest.Digest
	ChainID  digest.Digest // of its layers; "" without any
}

func (b *Base) identity() Key { return NewKey("base", string(b.Manifest)) }

// Run is a command in a container. Its fields are all that the command can see of the build, and this is the only place
// that lists them: Key hashes each field that does not say why not.
type Run struct {
	Args     []string // as executed, with the shell
	Scripts  []File   // that exist for this command only
	Env      []string // KEY=VALUE of ENV and of declared ARGs, proxies among them
	User     string
	Dir      string
	Platform string   // of the image so far, in full
	Network  string   // as it was asked for: "default", "host" or "none"; what the machine has is not in the key
	Hosts    []Host   // of /etc/hosts; only the names are in the key: addresses belong to where the build runs
	ShmSize  int64    // bytes of /dev/shm; 0: the default
	Ulimits  []Ulimit // by name

	Proxies []string // KEY=VALUE of proxies that nothing declares; not in the key: they belong to where the build runs
	Offline bool     // what Network comes to in this build; not in the key, because Network is
}

// File is a file of the Buildfile's own.
type File struct{ Path, Data string }

// Host is a line of /etc/hosts.
type Host struct{ Name, IP string }

// Ulimit is a limit of a process, named as in docker, such as nofile.
type Ulimit struct {
	Name       string
	Soft, Hard int64
}

// Key names the command by all that it can see.
func (r *Run) Key() Key {
	var scripts, hosts, limits []string
	for _, f := range r.Scripts {
		scripts = append(scripts, f.Path, f.Data)
	}
	for _, h := range r.Hosts {
		hosts = append(hosts, h.Name)
	}
	for _, l := range r.Ulimits {
		limits = append(limits, l.Name, strconv.FormatInt(l.Soft, 10), strconv.FormatInt(l.Hard, 10))
	}
	return NewKey("run", List(r.Args), List(scripts), List(r.Env), r.User, r.Dir, r.Platform, r.Network, List(hosts),
		strconv.FormatInt(r.ShmSize, 10), List(limits))
}

func (r *Run) identity() Key { return r.Key() }

// Copy is a COPY or ADD, or the files of a directory that a stage starts from. What it reads is the only entry of its
// node's Reads.
type Copy struct {
	Verb      string // COPY, ADD or FROM
	Sources   []string
	Documents []File // here-documents: the path is a name
	Dest      string // absolute, with a slash at its end where it can only be a directory
	Owner     string // as in --chown; "": 0:0, or in ADD what an archive says
	Mode      string // as in --chmod
	Unpack    bool   // archives
	Epoch     *int64 // seconds; nil: times stay
	Context   bool   // files come from a context: with an epoch they have that time, whatever time they had
}

// Key names the copying of content, the digest of the files that are selected.
func (c *Copy) Key(content digest.Digest) Key {
	return NewKey("copy", c.Verb, string(content), c.Dest, c.Owner, c.Mode, c.times())
}

// Selection names what is selected from a tree that never changes.
func (c *Copy) Selection() Key { return NewKey("selection", List(c.Sources), c.documents()) }

// Text names the instruction as it is written, on the result that it stands on: all of its Key but what the files hold.
func (c *Copy) Text(below string) Key {
	return NewKey("text", c.Verb, below, List(c.Sources), c.documents(), c.Dest, c.Owner, c.Mode, c.times())
}

func (c *Copy) identity() Key {
	return NewKey("copy", string(c.Text("")), strconv.FormatBool(c.Unpack))
}

func (c *Copy) documents() string {
	var list []string
	for _, f := range c.Documents {
		list = append(list, f.Path, f.Data)
	}
	return List(list)
}

// times is what becomes of the times of files.
func (c *Copy) times() string {
	if c.Epoch == nil {
		return ""
	}
	return strings.Join([]string{strconv.FormatInt(*c.Epoch, 10), strconv.FormatBool(c.Context)}, " ")
}

// Workdir makes a directory, unless it is there.
type Workdir struct {
	Dir  string // absolute
	User string // whose the directory is; "": root's
}

// Key names the directory and its owner.
func (w *Workdir) Key() Key { return NewKey("workdir", w.Dir, w.User) }

func (w *Workdir) identity() Key { return w.Key() }
