package once_test

import (
	"testing"

	"github.com/lbuild/lbuild/build/internal/once"
)

func TestLaterCallersGetTheFirstResult(t *testing.T) {
	var m once.Map[string, int]
	calls := 0
	for range 3 {
		if got, err := m.Do("a", func() (int, error) { calls++; return calls, nil }); got != 1 || err != nil {
			t.Errorf("got %d, %v", got, err)
		}
	}
	if got, _ := m.Do("b", func() (int, error) { return 7, nil }); got != 7 {
		t.Errorf("another key gives %d", got)
	}
}
