package plan

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
)

// change is a field of an op and another value for it.
type change[T any] struct {
	field  string // a path, for fields of structs in lists
	set    func(*T)
	counts bool // in the key
}

func fullRun() *Run {
	return &Run{
		Args: []string{"a", "b"}, Scripts: []File{{"p", "d"}}, Env: []string{"A=1", "B=2"}, User: "u", Dir: "/d", Platform: "linux/amd64",
		Network: "default", Hosts: []Host{{"h", "1.1.1.1"}}, ShmSize: 1, Ulimits: []Ulimit{{"nofile", 1, 2}}, Proxies: []string{"http_proxy=x"},
	}
}

// TestKeyOfARunHasAllThatTheCommandCanSee changes one field after the other.
func TestKeyOfARunHasAllThatTheCommandCanSee(t *testing.T) {
	changes := []change[Run]{
		{"Args", func(r *Run) { r.Args = []string{"a b"} }, true},
		{"Scripts.Path", func(r *Run) { r.Scripts[0].Path = "q" }, true},
		{"Scripts.Data", func(r *Run) { r.Scripts[0].Data = "e" }, true},
		{"Env", func(r *Run) { r.Env = []string{"B=2", "A=1"} }, true},
		{"User", func(r *Run) { r.User = "" }, true},
		{"Dir", func(r *Run) { r.Dir = "/" }, true},
		{"Platform", func(r *Run) { r.Platform = "linux/arm64" }, true},
		{"Network", func(r *Run) { r.Network = "host" }, true},
		{"Hosts.Name", func(r *Run) { r.Hosts[0].Name = "i" }, true},
		{"Hosts.IP", func(r *Run) { r.Hosts[0].IP = "2.2.2.2" }, false},
		{"ShmSize", func(r *Run) { r.ShmSize = 2 }, true},
		{"Ulimits.Name", func(r *Run) { r.Ulimits[0].Name = "core" }, true},
		{"Ulimits.Soft", func(r *Run) { r.Ulimits[0].Soft = 0 }, true},
		{"Ulimits.Hard", func(r *Run) { r.Ulimits[0].Hard = -1 }, true},
		{"Proxies", func(r *Run) { r.Proxies = nil }, false},
		{"Offline", func(r *Run) { r.Offline = true }, false},
	}
	checkFields(t, changes)
	seen := map[Key]string{fullRun().Key(): "no change"}
	for _, c := range changes {
		r := fullRun()
		c.set(r)
		if reflect.DeepEqual(r, fullRun()) {
			t.Errorf("%s: nothing changes", c.field)
		}
		other, same := seen[r.Key()]
		if same == c.counts {
			t.Errorf("%s counts: %t, want %t; the key is that of %q", c.field, !same, c.counts, other)
		}
		if c.counts {
			seen[r.Key()] = c.field
		}
	}
}

func fullCopy() *Copy {
	epoch := int64(1)
	return &Copy{
		Verb: "COPY", Sources: []string{"a", "b"}, Documents: []File{{"p", "d"}}, Dest: "/d", Owner: "1", Mode: "600", Epoch: &epoch,
	}
}

// TestKeysOfACopy changes one field after the other, and looks which of its three keys that changes. The digest of the
// files stands for what the sources and documents say.
func TestKeysOfACopy(t *testing.T) {
	later := int64(2)
	type counted struct{ Key, Text, Selection bool }
	changes := []change[Copy]{
		{field: "Verb", set: func(c *Copy) { c.Verb = "ADD" }},
		{field: "Sources", set: func(c *Copy) { c.Sources = []string{"b", "a"} }},
		{field: "Documents.Path", set: func(c *Copy) { c.Documents[0].Path = "q" }},
		{field: "Documents.Data", set: func(c *Copy) { c.Documents[0].Data = "e" }},
		{field: "Dest", set: func(c *Copy) { c.Dest = "/d/" }},
		{field: "Owner", set: func(c *Copy) { c.Owner = "" }},
		{field: "Mode", set: func(c *Copy) { c.Mode = "" }},
		{field: "Unpack", set: func(c *Copy) { c.Unpack = true }}, // the verb has it
		{field: "Epoch", set: func(c *Copy) { c.Epoch = &later }},
		{field: "Context", set: func(c *Copy) { c.Context = true }},
	}
	placed, read, neither := counted{Key: true, Text: true}, counted{Text: true, Selection: true}, counted{}
	want := map[string]counted{
		"Verb": placed, "Sources": read, "Documents.Path": read, "Documents.Data": read, "Dest": placed, "Owner": placed, "Mode": placed,
		"Unpack": neither, "Epoch": placed, "Context": placed,
	}
	checkFields(t, changes)
	for _, c := range changes {
		was, is := fullCopy(), fullCopy()
		c.set(is)
		got := counted{was.Key("x") != is.Key("x"), was.Text("x") != is.Text("x"), was.Selection() != is.Selection()}
		if got != want[c.field] {
			t.Errorf("%s counts in %+v, want %+v", c.field, got, want[c.field])
		}
		if was.identity() == is.identity() {
			t.Errorf("%s: another op would be the same node", c.field)
		}
	}
	c := fullCopy()
	if c.Key("x") == c.Key("y") || c.Text("x") == c.Text("y") {
		t.Error("what is read, or what is below, does not count")
	}
	c.Epoch = nil
	without := c.Key("x")
	if c.Context = true; c.Key("x") != without || fullCopy().Key("x") == without {
		t.Error("without an epoch it counts where files come from, or that there is none does not count")
	}
}

func TestKeyOfAWorkdirHasItsFields(t *testing.T) {
	changes := []change[Workdir]{
		{"Dir", func(w *Workdir) { w.Dir = "/b" }, true},
		{"User", func(w *Workdir) { w.User = "" }, true},
	}
	checkFields(t, changes)
	for _, c := range changes {
		w := &Workdir{Dir: "/a", User: "u"}
		was := w.Key()
		if c.set(w); w.Key() == was {
			t.Errorf("%s does not count", c.field)
		}
	}
}

// checkFields fails unless the changes are one for each field of an op: a new field has to be put into the key, or into
// the list of those that are not.
func checkFields[T any](t *testing.T, changes []change[T]) {
	t.Helper()
	var listed []string
	for _, c := range changes {
		listed = append(listed, c.field)
	}
	if all := fields(reflect.TypeFor[T](), ""); !slices.Equal(all, listed) {
		t.Fatalf("%s has the fields\n%v, and the list is of\n%v", reflect.TypeFor[T](), all, listed)
	}
}

// fields lists those of a struct, with those of structs in it or in its lists.
func fields(of reflect.Type, prefix string) (all []string) {
	for f := range of.Fields() {
		inner := f.Type
		for inner.Kind() == reflect.Slice || inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		if inner.Kind() == reflect.Struct {
			all = append(all, fields(inner, fmt.Sprint(prefix, f.Name, "."))...)
			continue
		}
		all = append(all, prefix+f.Name)
	}
	return all
}
