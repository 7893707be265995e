package source

import (
	"io/fs"
	"testing"
)

func TestLookupOwner(t *testing.T) {
	root := makeTree(t, lines(
		`etc/passwd "root:x:0:0::/root:/bin/sh\nweb:x:33:34::/:/bin/sh\nmaxi:x:2147483647:5::/:\n"`,
		`etc/group "root:x:0:\nwww:x:35:web\n"`,
	))
	tests := []struct {
		spec string
		want Owner
		err  string
	}{
		{spec: "root", want: Owner{0, 0}},
		{spec: "web", want: Owner{33, 34}},
		{spec: "web:", want: Owner{33, 34}},
		{spec: "web:www", want: Owner{33, 35}},
		{spec: "web:7", want: Owner{33, 7}},
		{spec: "web:root", want: Owner{33, 0}},
		{spec: "1000", want: Owner{1000, 1000}},
		{spec: "33", want: Owner{33, 33}},
		{spec: "1000:2000", want: Owner{1000, 2000}},
		{spec: "1000:www", want: Owner{1000, 35}},
		{spec: ":www", want: Owner{0, 35}},
		{spec: "nobody", err: `owner "nobody": there is no user "nobody" in /etc/passwd`},
		{spec: "web:staff", err: `there is no group "staff" in /etc/group`},
		{spec: "-1", err: "-1 is no valid number"},
		{spec: "web:99999999999", err: "99999999999 is no valid number"},
	}
	for _, tt := range tests {
		t.Run(tt.spec, func(t *testing.T) {
			got, err := LookupOwner(root, tt.spec)
			checkError(t, err, nil, tt.err)
			if got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestLookupOwnerInHostileRoot(t *testing.T) {
	host := makeTree(t, `passwd "web:x:1:1::/:/bin/sh\n"`)
	tests := []struct {
		name, tree string
		is         error
		text       string
	}{
		{"no file", "etc/", fs.ErrNotExist, `user "web": /etc/passwd is missing`},
		{"link to the host", "etc/passwd -> " + host + "/passwd", fs.ErrNotExist, "is missing"},
		{"directory that leads to the host", "etc -> " + host, fs.ErrNotExist, "is missing"},
		{"fifo", "etc/passwd |", fs.ErrNotExist, "is missing"},
		{"device", "etc/passwd c1:5", fs.ErrNotExist, "is missing"},
		{"garbage", `etc/passwd "\x00:::web\n:::"`, nil, `no user "web"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			requireRoot(t)
			_, err := LookupOwner(makeTree(t, tt.tree), "web")
			checkError(t, err, tt.is, tt.text)
		})
	}
}

func TestLookupOwnerFollowsLinksInsideTheRoot(t *testing.T) {
	root := makeTree(t, lines(`usr/etc/passwd "web:x:1:2::/:\n"`, "etc -> /usr/etc"))
	got, err := LookupOwner(root, "web")
	must(t, err)
	if want := (Owner{1, 2}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}
