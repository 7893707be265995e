package image

import (
	"testing"
	"time"
)

func TestClampMovesOnlyLaterTimes(t *testing.T) {
	epoch := time.Unix(1000, 0).UTC()
	p := &Parts{Epoch: &epoch}
	before, after := time.Unix(999, 0).UTC(), time.Unix(1001, 0).UTC()
	if got := p.clamp(&before); !got.Equal(before) {
		t.Errorf("%v became %v", before, got)
	}
	if got := p.clamp(&after); !got.Equal(epoch) {
		t.Errorf("%v became %v", after, got)
	}
	if got := p.clamp(nil); got != nil {
		t.Errorf("no time became %v", got)
	}
	if got := new(Parts).clamp(&after); !got.Equal(after) {
		t.Errorf("without an epoch %v became %v", after, got)
	}
}
