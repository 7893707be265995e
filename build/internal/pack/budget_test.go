package pack

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lbuild/lbuild/diff/compress"
)

// memory is what a Builder has where nobody says anything else.
const memory = 192 << 20

func compression(t *testing.T, text string) compress.Compression {
	t.Helper()
	c, err := compress.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestALayerGetsTheWorkersThatThereIsRoomFor packs two layers at once in a budget that is given in workers of each codec.
func TestALayerGetsTheWorkersThatThereIsRoomFor(t *testing.T) {
	for _, codec := range []string{"gzip", "zstd", "zstd:19"} {
		c := compression(t, codec)
		for name, test := range map[string]struct {
			memory, cores, first, second int
		}{
			"two cores, enough for many":  {memory: 100, cores: 2, first: 2, second: 2},
			"one core":                    {memory: 100, cores: 1, first: 2, second: 2},
			"enough for all cores, twice": {memory: 40, cores: 16, first: 16, second: 16},
			"enough for all cores, once":  {memory: 20, cores: 16, first: 16, second: 4},
			"not enough for all cores":    {memory: 12, cores: 16, first: 10, second: 2},
			"enough for two":              {memory: 4, cores: 16, first: 2, second: 2},
		} {
			b := newBudget(int64(test.memory)*c.WorkerMemory()+2*layerMemory, 2)
			b.cores = test.cores
			var got []int
			for range 2 {
				workers, release, err := b.room(t.Context(), turn{}, c, 0)
				if err != nil {
					t.Fatal(err)
				}
				defer release()
				got = append(got, workers)
			}
			if diff := cmp.Diff([]int{test.first, test.second}, got); diff != "" {
				t.Errorf("%s, %s: workers (-want +got):\n%s", codec, name, diff)
			}
			if b.peak() > b.memory {
				t.Errorf("%s, %s: %d bytes are more than the %d that there are", codec, name, b.peak(), b.memory)
			}
		}
	}
}

func TestALayerWithoutCompressionHasEveryCore(t *testing.T) {
	b := newBudget(memory, 1)
	b.cores = 64
	workers, release, err := b.room(t.Context(), turn{}, compression(t, "none"), 0)
	if err != nil || workers != 64 || b.peak() != layerMemory {
		t.Errorf("%d workers, %d bytes, %v", workers, b.peak(), err)
	}
	release()
}

func TestAWindowIsPartOfWhatALayerTakes(t *testing.T) {
	gzip := compression(t, "gzip")
	least := leastMemory(gzip)
	for name, test := range map[string]struct {
		memory, window, taken int64
		together              bool
	}{
		"two fit":              {2*least + 200, 100, least + 100, true},
		"only one fits":        {2*least + 199, 100, least + 100, false},
		"it fills the budget":  {2*least + 100, least + 100, 2*least + 100, false},
		"more than the budget": {2*least + 100, 128 << 20, 2*least + 100, false},
		"there is no room":     {least, 100, least, false},
	} {
		b := newBudget(test.memory, 2)
		b.cores = 1
		_, release, err := b.room(t.Context(), turn{}, gzip, test.window)
		if err != nil {
			t.Fatal(err)
		}
		if b.taken != test.taken {
			t.Errorf("%s: it takes %d bytes, want %d", name, b.taken, test.taken)
		}
		second := &claim{beside: layerMemory + min(test.window, 100), each: gzip.WorkerMemory()}
		if together := b.fitting(second) > 0; together != test.together {
			t.Errorf("%s: room for a second: %t", name, together)
		}
		release()
	}
}

func TestLayersOfTheOldestBuildAreNext(t *testing.T) {
	b, c := newBudget(memory, 1), compression(t, "gzip")
	_, release, err := b.room(t.Context(), turn{}, c, 0)
	if err != nil {
		t.Fatal(err)
	}
	var waiting sync.WaitGroup
	var mu sync.Mutex
	var order []turn
	for n, mine := range []turn{{1, 7}, {2, 0}, {1, 3}, {1, 12}, {3, -1}, {2, -2}, {1, -1}} {
		waiting.Go(func() {
			_, release, err := b.room(t.Context(), mine, c, 0)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			order = append(order, mine)
			mu.Unlock()
			release()
		})
		waitForQueue(t, b, n+1)
	}
	release()
	waiting.Wait()
	if diff := cmp.Diff([]turn{{1, -1}, {1, 3}, {1, 7}, {1, 12}, {2, -2}, {2, 0}, {3, -1}}, order, cmp.AllowUnexported(turn{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// waitForQueue waits until n layers wait.
func waitForQueue(t *testing.T, b *budget, n int) {
	t.Helper()
	for range 10_000 {
		b.mu.Lock()
		got := len(b.queue)
		b.mu.Unlock()
		if got == n {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatalf("%d layers do not wait", n)
}

func TestACanceledLayerMakesRoomForThoseBehindIt(t *testing.T) {
	b, c := newBudget(memory, 1), compression(t, "gzip")
	_, release, err := b.room(t.Context(), turn{}, c, 0)
	if err != nil {
		t.Fatal(err)
	}
	cause := errors.New("the build failed")
	ctx, cancel := context.WithCancelCause(t.Context())
	failed := make(chan error)
	go func() { _, _, err := b.room(ctx, turn{}, c, 0); failed <- err }()
	waitForQueue(t, b, 1)
	cancel(cause)
	if err := <-failed; !errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
	waitForQueue(t, b, 0)
	release()
	_, release, err = b.room(t.Context(), turn{}, c, 0)
	if err != nil {
		t.Fatal(err)
	}
	release()
	if b.taken != 0 || b.packing != 0 {
		t.Errorf("%d bytes and %d layers are left", b.taken, b.packing)
	}
}

// TestTheBudgetHoldsWhateverComes has many layers come and go, some of which give up.
func TestTheBudgetHoldsWhateverComes(t *testing.T) {
	b := newBudget(memory, 3)
	b.cores = 16
	var layers sync.WaitGroup
	for i := range 300 {
		c := compression(t, []string{"none", "gzip", "zstd", "zstd:19"}[i%4])
		layers.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*100*time.Microsecond)
			defer cancel()
			if _, release, err := b.room(ctx, turn{int64(i % 7), i}, c, 0); err == nil {
				b.mu.Lock()
				if b.taken > b.memory || b.packing > b.layers {
					t.Errorf("%d bytes, %d layers", b.taken, b.packing)
				}
				b.mu.Unlock()
				release()
			}
		})
	}
	layers.Wait()
	if b.taken != 0 || b.packing != 0 || len(b.queue) != 0 {
		t.Errorf("%d bytes, %d layers and a queue of %d are left", b.taken, b.packing, len(b.queue))
	}
}

func TestABudgetForNoLayerIsRefused(t *testing.T) {
	gzip, zstd := compression(t, "gzip"), compression(t, "zstd")
	for name, test := range map[string]struct {
		memory int64
		c      compress.Compression
		want   string
	}{
		"the least":       {leastMemory(gzip), gzip, ""},
		"less":            {leastMemory(gzip) - 1, gzip, "is too small: to pack a layer as gzip"},
		"enough for gzip": {leastMemory(gzip), zstd, "to pack a layer as zstd"},
	} {
		err := CheckMemory(test.memory, test.c)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
	}
}
