package remote

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// tokenServer is a proxy that wants a token, which it hands out itself after a fault had its chance.
func tokenServer(t testing.TB, registry string, spoil fault) *proxy {
	t.Helper()
	return startProxy(t, registry, func(w http.ResponseWriter, r *http.Request) bool {
		switch {
		case spoil(w, r):
		case r.URL.Path == "/token":
			fmt.Fprint(w, `{"token":"good","expires_in":1}`)
		case r.Header.Get("Authorization") != "Bearer good":
			w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+r.Host+`/token",service="test"`)
			w.WriteHeader(http.StatusUnauthorized)
		default:
			return false
		}
		return true
	})
}

func TestTokenServerThatWasDownIsAskedAgain(t *testing.T) {
	registry, manifest, _ := pushed(t, nil)
	c := newClient(t)
	p := tokenServer(t, registry.host, times(c.patience.tries, "GET", "/token", answer(500)))
	ref := parse(t, p.host+"/x:1")
	if _, err := c.Resolve(t.Context(), ref); err == nil || !strings.Contains(err.Error(), "answers 500") {
		t.Errorf("got %v, want the token server's answer", err)
	}
	got, err := c.Resolve(t.Context(), ref)
	must(t, err)
	if got.Digest != manifest.Digest {
		t.Errorf("got %s, want %s", got.Digest, manifest.Digest)
	}
}

// TestOthersDoNotEndWithWhoFetchesTheToken has three who want the same token: one asks for it and is cancelled, one
// gives up earlier, and one has the time.
func TestOthersDoNotEndWithWhoFetchesTheToken(t *testing.T) {
	registry, _, _ := pushed(t, nil)
	asked := make(chan struct{})
	p := tokenServer(t, registry.host, times(1, "GET", "/token", func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
	}))
	c, ref := newClient(t), parse(t, p.host+"/x:1")
	c.patience.silence, c.patience.dead = time.Minute, time.Minute
	cause := errors.New("a step failed")
	ctx, cancel := context.WithCancelCause(t.Context())
	var group sync.WaitGroup
	group.Go(func() {
		if _, err := c.Resolve(ctx, ref); !errors.Is(err, cause) {
			t.Errorf("the first got %v", err)
		}
	})
	<-asked
	group.Go(func() {
		if _, err := c.Resolve(t.Context(), ref); err != nil {
			t.Errorf("the last got %v", err)
		}
	})
	short, done := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer done()
	if _, err := c.Resolve(short, ref); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the one in a hurry got %v", err)
	}
	cancel(cause)
	group.Wait()
}

// TestPushEndsWithoutATokenForTheUpload has the token of a push run out between the beginning of an upload and its body.
func TestPushEndsWithoutATokenForTheUpload(t *testing.T) {
	registry := startRegistry(t, false)
	cause := errors.New("a step failed")
	for _, test := range []struct {
		name   string
		token  http.HandlerFunc // in place of a second token
		cancel bool             // when the second token is asked for
		want   string
	}{
		{"refused", answer(http.StatusForbidden), false, "forbids it (said by the registry)"},
		{"server down", answer(http.StatusInternalServerError), false, "answers 500 Internal Server Error"},
		{"canceled", silent, true, cause.Error()},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			var began atomic.Bool
			p := tokenServer(t, registry, func(w http.ResponseWriter, r *http.Request) bool {
				switch {
				case r.URL.Path == "/token" && began.Load():
					if test.cancel {
						cancel(cause)
					}
					test.token(w, r)
					return true
				case r.Method == http.MethodPost && r.Header.Get("Authorization") != "":
					began.Store(true)
					time.Sleep(1100 * time.Millisecond) // longer than a token lives
				}
				return false
			})
			c := newClient(t)
			c.patience.silence, c.patience.dead = time.Minute, time.Minute
			store, _ := newStore(t)
			image, ref := putImage(t, store, "amd64"), parse(t, p.host+"/x:1")
			ended := make(chan error, 1)
			go func() { ended <- c.Push(ctx, store, image, ref, nil) }()
			select {
			case err := <-ended:
				if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
					t.Errorf("got %v, want %q", err, test.want)
				}
			case <-time.After(30 * time.Second):
				t.Fatal("the push does not end")
			}
			if !c.uploads.TryAcquire(uploads) {
				t.Error("a permit to upload was not given back")
			}
			if n := p.count("PUT", ""); n != 0 {
				t.Errorf("%d uploads without a token", n)
			}
		})
	}
}
