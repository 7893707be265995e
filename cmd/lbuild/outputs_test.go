package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lbuild/lbuild/build"
	"github.com/lbuild/lbuild/diff/compress"
)

func TestParseOutputReadsTypesAndKeys(t *testing.T) {
	zstd9, err := compress.Parse("zstd:9")
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]build.Output{
		"out":                              {Type: build.OutputLocal, Dest: "out"},
		"-":                                {Type: build.OutputTar, Dest: "-"},
		"type=image":                       {Type: build.OutputImage},
		"type=oci,dest=a.tar":              {Type: build.OutputOCI, Dest: "a.tar"},
		"dest=a,tar=false,type=oci":        {Type: build.OutputOCI, Dest: "a", Dir: true},
		"type=oci,tar=true,dest=-":         {Type: build.OutputOCI, Dest: "-"},
		"type=docker,dest=-":               {Type: build.OutputDocker, Dest: "-"},
		"type=local,dest=d":                {Type: build.OutputLocal, Dest: "d"},
		"type=tar,dest=d.tar":              {Type: build.OutputTar, Dest: "d.tar"},
		"type=registry":                    {Type: build.OutputRegistry},
		"type=registry,name=a/b:1":         {Type: build.OutputRegistry, Names: []string{"a/b:1"}},
		`type=registry,"name=a/b:1,a/b:2"`: {Type: build.OutputRegistry, Names: []string{"a/b:1", "a/b:2"}},
		`type=oci,"dest=a,b.tar"`:          {Type: build.OutputOCI, Dest: "a,b.tar"},
		"type=image,compression=zstd,compression-level=9,force-compression=true": {
			Type: build.OutputImage, Compression: &zstd9, ForceCompression: true,
		},
	} {
		t.Run(text, func(t *testing.T) {
			got, err := parseOutput(text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestParseOutputNamesWhatIsWrong(t *testing.T) {
	for text, want := range map[string]string{
		"":                                     "is empty",
		"type=":                                `unknown type ""`,
		"type=squashfs,dest=x":                 `unknown type "squashfs"`,
		"dest=x":                               "the type is missing",
		"type=oci":                             "needs dest=",
		"type=oci,dest=":                       "needs dest=",
		"type=oci,dest=x,tar=maybe":            "neither true nor false",
		"type=oci,dest=-,tar=false":            "a directory cannot go to stdout",
		"type=local,dest=-":                    "a directory cannot go to stdout",
		"type=docker,dest=x,tar=false":         "takes no tar",
		"type=registry,dest=x":                 "takes no dest",
		"type=local,dest=x,compression=zstd":   "takes no compression",
		"type=image,push=true":                 `unknown key "push"`,
		"type=image,type=oci":                  "type is given twice",
		"type=image,compress":                  `"compress" has no value`,
		"type=image,compression=lz4":           "lz4",
		"type=image,compression=gzip:99":       "99",
		"type=image,compression-level=3":       "needs compression",
		"type=registry,name=UPPER":             "UPPER",
		"type=registry,name=a@sha256:" + zeros: "a digest cannot be chosen",
		`type=oci,"dest=a`:                     `output "type=oci`,
	} {
		t.Run(text, func(t *testing.T) {
			out, err := parseOutput(text)
			if err == nil {
				t.Fatalf("got %+v, want an error with %q", out, want)
			}
			if !strings.Contains(err.Error(), want) {
				t.Errorf("got %q, want it to have %q", err, want)
			}
		})
	}
}

var zeros = strings.Repeat("0", 64)
