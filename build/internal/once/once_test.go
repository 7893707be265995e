package once_test

import (
	"errors"
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

func TestAValueIsMadeByTheFirstWhoSucceeds(t *testing.T) {
	var v once.Value[int]
	if _, err := v.Get(func() (int, error) { return 1, errors.New("no") }); err == nil {
		t.Error("the failure is lost")
	}
	for i := range 3 {
		if got, err := v.Get(func() (int, error) { return 7 + i, nil }); got != 7 || err != nil {
			t.Errorf("got %d, %v", got, err)
		}
	}
}
