package build

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

// startStuckRegistry is a registry on loopback that has nothing, and that takes blobs without ever saying that it has them.
func startStuckRegistry(t *testing.T) (host string) {
	t.Helper()
	stop := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodHead:
			w.WriteHeader(http.StatusNotFound)
		case http.MethodPost:
			w.Header().Set("Location", "/upload")
			w.WriteHeader(http.StatusAccepted)
		default:
			_, _ = io.Copy(io.Discard, r.Body) // it ends with the client
			select {
			case <-stop:
			case <-r.Context().Done():
			}
		}
	}))
	t.Cleanup(func() {
		close(stop)
		server.Close()
	})
	return strings.TrimPrefix(server.URL, "http://")
}

// TestABuildThatIsCanceledLeavesNothing cancels builds while a layer is packed, and while one is pushed.
func TestABuildThatIsCanceledLeavesNothing(t *testing.T) {
	host := startStuckRegistry(t)
	dir := t.TempDir()
	noise := make([]byte, 16<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(noise)
	if err := os.WriteFile(filepath.Join(dir, "noise"), noise, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		when  func(Event) bool
		state map[EventType]State
	}{
		"packing": {func(e Event) bool { return e.Type == EventPack && e.State == StateStarted }, map[EventType]State{EventPack: StateCanceled}},
		"pushing": {
			func(e Event) bool { return e.Type == EventPush && e.Current > 0 },
			map[EventType]State{EventPack: StateDone, EventPush: StateCanceled},
		},
	} {
		t.Run(name, func(t *testing.T) {
			b, _ := newTestBuilder(t)
			others := goleak.IgnoreCurrent()
			before := leftovers(t, b)
			ctx, cancel := context.WithCancelCause(t.Context())
			stopped := errors.New("stopped by the test")
			last := map[EventType]State{}
			_, err := b.Build(ctx, Request{
				Context: dir, Buildfile: "Buildfile", BuildfileText: []byte("FROM scratch\nCOPY noise /noise\n"), Tags: []string{host + "/x:1"},
				Compression: compression(t, "gzip"), Outputs: []Output{{Type: OutputRegistry}, {Type: OutputImage}},
				Events: func(e Event) {
					if test.when(e) {
						cancel(stopped)
					}
					if e.Type == EventPack || e.Type == EventPush && e.Digest == "" {
						last[e.Type] = e.State
					}
				},
			})
			if !errors.Is(err, stopped) && !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want that it was stopped", err)
			}
			if diff := cmp.Diff(test.state, last); diff != "" {
				t.Errorf("last events (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(before, leftovers(t, b)); diff != "" {
				t.Errorf("leases and half-written blobs (-before +after):\n%s", diff)
			}
			goleak.VerifyNone(t, others,
				goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"),
				goleak.IgnoreAnyFunction("net/http.(*conn).serve")) // connections that are kept, and the registry's side
		})
	}
}

// leftovers lists what a build that ended should not have left in the store: leases, and blobs that are not whole. A layer
// that is whole stays, for the next build.
func leftovers(t *testing.T, b *Builder) []string {
	t.Helper()
	var all []string
	for _, dir := range []string{"leases/*", "content/ingest/*"} {
		found, err := filepath.Glob(filepath.Join(b.store.Root(), dir))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, found...)
	}
	return all
}
