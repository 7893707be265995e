package layer

import (
	"archive/tar"
	"bytes"
	"strings"
	"testing"
	"time"
)

// FuzzHeader compares the headers that are written here with those of archive/tar.
func FuzzHeader(f *testing.F) {
	f.Add("usr/bin/sh", "dash", byte(tar.TypeSymlink), int64(0o777), 0, 0, int64(0), int64(1_700_000_000), uint16(0))
	f.Add(strings.Repeat("n", 100), "", byte(tar.TypeReg), int64(0o4755), 1<<21-1, 1<<21, int64(1)<<33-1, int64(1)<<33, uint16(0))
	f.Add("d/", "", byte(tar.TypeDir), int64(0o1777), -1, 0, int64(0), int64(-1), uint16(0))
	f.Add("dev/é", "", byte(tar.TypeChar), int64(0o600), 0, 5, int64(0), int64(0), uint16(0x0501))
	f.Add(strings.Repeat("n", 101), "\x00", byte(tar.TypeReg), int64(1)<<21, 0, 0, int64(1)<<33, int64(1)<<33-1, uint16(0))
	f.Fuzz(func(t *testing.T, name, link string, kind byte, mode int64, uid, gid int, size, at int64, dev uint16) {
		hdr := tar.Header{
			Typeflag: kind, Name: name, Linkname: link, Mode: mode, Uid: uid, Gid: gid, Size: size,
			ModTime: time.Unix(at, 0), Devmajor: int64(dev >> 8), Devminor: int64(dev & 255),
		}
		if !ofALayer(&hdr) {
			return
		}
		var got ustar
		if !got.write(&hdr) {
			return
		}
		var want bytes.Buffer
		if err := tar.NewWriter(&want).WriteHeader(&hdr); err != nil {
			t.Fatalf("%+v: archive/tar says %v", hdr, err)
		}
		if !bytes.Equal(got[:], want.Bytes()) {
			t.Errorf("%+v:\n%q\nwant\n%q", hdr, got[:], want.Bytes())
		}
	})
}

// ofALayer reports whether describe could have made a header.
func ofALayer(hdr *tar.Header) bool {
	if hdr.Name == "" || strings.HasSuffix(hdr.Name, "/") != (hdr.Typeflag == tar.TypeDir) {
		return false
	}
	if hdr.Typeflag != tar.TypeReg && hdr.Size != 0 {
		return false
	}
	switch hdr.Typeflag {
	case tar.TypeReg, tar.TypeDir, tar.TypeFifo:
		return hdr.Linkname == "" && hdr.Devmajor == 0 && hdr.Devminor == 0
	case tar.TypeSymlink, tar.TypeLink:
		return hdr.Devmajor == 0 && hdr.Devminor == 0
	case tar.TypeChar, tar.TypeBlock:
		return hdr.Linkname == ""
	}
	return false
}
