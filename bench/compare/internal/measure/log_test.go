package measure

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSaidIsTheEndOfALog(t *testing.T) {
	for text, want := range map[string]string{
		"":                                    "",
		"one\ntwo\n":                          "one two",
		strings.Repeat("x", 500) + "\nlast\n": strings.Repeat("x", 394) + " last",
		"é" + strings.Repeat("x", 399):        strings.Repeat("x", 399), // not half a letter
	} {
		log, err := os.Create(filepath.Join(t.TempDir(), "log"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := log.WriteString(text); err != nil {
			t.Fatal(err)
		}
		if got := Said(log); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
