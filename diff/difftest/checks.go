package difftest

import (
	"archive/tar"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"
)

// check is a demand on a layer.
type check func(*layer) error

// bare demands one deletion in the one form that has nothing of the machine or the moment in it.
func bare(name string) check {
	return func(l *layer) error {
		found := l.find(name)
		if len(found) != 1 {
			return fmt.Errorf("%d entries %s, want 1", len(found), name)
		}
		e := found[0]
		switch {
		case e.Typeflag != tar.TypeReg || e.size != 0:
			return fmt.Errorf("%s is not an empty regular file", name)
		case !e.ModTime.Equal(time.Unix(0, 0)):
			return fmt.Errorf("%s has the time %s, want 1970, for the same bytes each time", name, e.ModTime.UTC().Format(time.DateOnly))
		case e.Mode != 0 || e.Uid != 0 || e.Gid != 0:
			return fmt.Errorf("%s has mode %o and owner %d:%d, want 0 and 0:0", name, e.Mode, e.Uid, e.Gid)
		}
		return nil
	}
}

// atMost demands few entries, and says what more of them mean.
func atMost(n int, meaning string) check {
	return func(l *layer) error {
		if len(l.entries) > n {
			return fmt.Errorf("%d entries where %d do: %s", len(l.entries), n, meaning)
		}
		return nil
	}
}

// lacks demands that there is no such entry.
func lacks(name, meaning string) check {
	return func(l *layer) error {
		if len(l.find(name)) > 0 {
			return fmt.Errorf("an entry %s: %s", name, meaning)
		}
		return nil
	}
}

// inOrder demands these entries, each once, in this order.
func inOrder(names ...string) check {
	return func(l *layer) error {
		var got []string
		for _, e := range l.entries {
			if slices.Contains(names, e.name) {
				got = append(got, e.name)
			}
		}
		if !slices.Equal(got, names) {
			return fmt.Errorf("of the entries %q there are, in this order, %q", names, got)
		}
		return nil
	}
}

// header demands one such entry, and tells what is wrong with it.
func header(name string, wrong func(entry) string) check {
	return func(l *layer) error {
		found := l.find(name)
		if len(found) != 1 {
			return fmt.Errorf("%d entries %s, want 1", len(found), called(name))
		}
		if w := wrong(found[0]); w != "" {
			return fmt.Errorf("%s has %s", called(name), w)
		}
		return nil
	}
}

func called(name string) string {
	if name == "" {
		return "./"
	}
	return fmt.Sprintf("%.40q", name)
}

const paxXattr = "SCHILY.xattr."

// xattr demands an attribute. The empty value stands for none.
func xattr(name, key, value string) check {
	return header(name, func(e entry) string {
		if got := e.PAXRecords[paxXattr+key]; got != value {
			return fmt.Sprintf("%s=%q, want %q", key, got, value)
		}
		return ""
	})
}

// mode demands permissions.
func mode(name string, want int64) check {
	return header(name, func(e entry) string {
		if got := e.Mode & 0o7777; got != want {
			return fmt.Sprintf("mode %o, want %o", got, want)
		}
		return ""
	})
}

// each demands something of every entry.
func each(wrong func(entry) string) check {
	return func(l *layer) error {
		for _, e := range l.entries {
			if w := wrong(e); w != "" {
				return fmt.Errorf("%.40q has %s", e.name, w)
			}
		}
		return nil
	}
}

// ofTheMachine tells what an entry has that says something about the machine and not about the file.
func ofTheMachine(e entry) string {
	epoch := time.Unix(0, 0)
	timed := func(t time.Time) bool { return !t.IsZero() && !t.Equal(epoch) }
	switch {
	case e.Uname+e.Gname != "":
		return fmt.Sprintf("the names %q and %q of its owners on this machine", e.Uname, e.Gname)
	case timed(e.AccessTime):
		return "an access time"
	case timed(e.ChangeTime):
		return "a change time"
	case e.Devmajor+e.Devminor != 0 && e.Typeflag != tar.TypeChar && e.Typeflag != tar.TypeBlock:
		return "a device number"
	}
	return ""
}

// difference tells the first line that two printed trees do not have in common, in words.
func difference(want, got string) string {
	wanted, unpacked := byPath(want), byPath(got)
	for _, line := range strings.Split(want, "\n") {
		path, rest := cutPath(line)
		other, ok := unpacked[path]
		switch {
		case !ok:
			return path + " is missing in the image"
		case without(other, rest)+without(rest, other) != "":
			return path + unlike(without(rest, other), without(other, rest))
		}
	}
	for _, line := range strings.Split(got, "\n") {
		if path, _ := cutPath(line); path != "" {
			if _, ok := wanted[path]; !ok {
				return path + " is in the image still"
			}
		}
	}
	return ""
}

// unlike tells what an entry should have and has instead.
func unlike(want, got string) string {
	switch {
	case got == "":
		return fmt.Sprintf(" lacks {%s} in the image", want)
	case want == "":
		return fmt.Sprintf(" has {%s} in the image, which it should not have", got)
	}
	return fmt.Sprintf(" has {%s} in the image instead of {%s}", got, want)
}

// without returns the words of a line that another one does not have, and cuts digests.
func without(line, other string) string {
	const longest = 80
	there := strings.Fields(other)
	words := slices.DeleteFunc(strings.Fields(line), func(w string) bool { return slices.Contains(there, w) })
	for i, w := range words {
		if len(w) > longest || len(w) == 2*sha256.Size {
			words[i] = w[:min(len(w), 8)] + "…"
		}
	}
	return strings.Join(words, " ")
}

func byPath(tree string) map[string]string {
	all := map[string]string{}
	for _, line := range strings.Split(tree, "\n") {
		path, rest := cutPath(line)
		all[path] = rest
	}
	return all
}

// cutPath cuts a line after the quoted path that it starts with.
func cutPath(line string) (path, rest string) {
	end := 1
	for end < len(line) && line[end] != '"' {
		if line[end] == '\\' {
			end++
		}
		end++
	}
	if end >= len(line) {
		return line, ""
	}
	return line[:end+1], strings.TrimSpace(line[end+1:])
}
