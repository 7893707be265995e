package remote

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// roundTrip stands for net/http, whose connections have no place in a bubble of synctest.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// answersAfter waits as net/http does: until the request is cancelled, and then with the cause as error.
func answersAfter(req *http.Request, d time.Duration) (*http.Response, error) {
	select {
	case <-time.After(d):
		return &http.Response{StatusCode: http.StatusCreated, Body: http.NoBody, Request: req}, nil
	case <-req.Context().Done():
		return nil, context.Cause(req.Context())
	}
}

func newWatched(t testing.TB, base roundTrip) *watched {
	t.Helper()
	c, err := New(Options{})
	must(t, err)
	c.patience.large = 10
	return &watched{base: base, patience: c.patience, hosts: &silences{}}
}

// ask sends a request with a body and returns how long it took.
func ask(t testing.TB, w *watched, method, body string) (time.Duration, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://r.example/", strings.NewReader(body))
	must(t, err)
	start := time.Now()
	resp, err := w.RoundTrip(req)
	took := time.Since(start)
	if err == nil {
		must(t, resp.Body.Close())
	}
	return took, err
}

func TestRegistryHasTimeToCommitAnUpload(t *testing.T) {
	large := strings.Repeat("x", 10)
	for _, test := range []struct {
		name, method, body string
		takes              time.Duration
		want               silentError // that ends it
	}{
		{"upload", "PUT", large, 4 * time.Minute, silentError{}},
		{"upload without end", "PUT", large, time.Hour, silentError{lasted: 5 * time.Minute, commit: true}},
		{"small upload", "PUT", "x", time.Minute, silentError{lasted: 30 * time.Second}},
		{"token", "POST", large, time.Minute, silentError{lasted: 30 * time.Second}},
		{"no body", "GET", "", time.Minute, silentError{lasted: 30 * time.Second}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				took, err := ask(t, newWatched(t, func(req *http.Request) (*http.Response, error) {
					if _, err := io.Copy(io.Discard, req.Body); err != nil {
						return nil, err
					}
					return answersAfter(req, test.takes)
				}), test.method, test.body)
				silent, ended := errors.AsType[*silentError](err)
				switch {
				case test.want.lasted == 0 && (err != nil || took != test.takes):
					t.Errorf("got %v after %s", err, took)
				case test.want.lasted != 0 && (!ended || *silent != test.want || took != test.want.lasted):
					t.Errorf("got %v after %s, want silence for %s", err, took, test.want.lasted)
				}
			})
		})
	}
}

// TestCommitDoesNotMakeAHostDead asks a host that has been busy with a commit for longer than a dead one gets.
func TestCommitDoesNotMakeAHostDead(t *testing.T) {
	for name, end := range map[string]time.Duration{"it succeeds": 3 * time.Minute, "it fails": time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWatched(t, func(req *http.Request) (*http.Response, error) {
					_, err := io.Copy(io.Discard, req.Body)
					must(t, err)
					if req.Method == http.MethodPut {
						return answersAfter(req, end)
					}
					return answersAfter(req, 20*time.Second)
				})
				ended := make(chan error, 1)
				go func() {
					_, err := ask(t, w, "PUT", strings.Repeat("x", 10))
					ended <- err
				}()
				time.Sleep(2 * time.Minute)
				_, err := ask(t, w, "GET", "")
				must(t, err)
				if err := <-ended; (err == nil) != (end < time.Hour) {
					t.Errorf("the upload got %v", err)
				}
				_, err = ask(t, w, "GET", "")
				must(t, err)
				if n := w.hosts.of("r.example").waiting; n != 0 {
					t.Errorf("%d requests still wait", n)
				}
			})
		})
	}
}

// TestUploadOverASecondConnectionIsWatchedToo has the first connection end after a byte.
func TestUploadOverASecondConnectionIsWatchedToo(t *testing.T) {
	for name, stall := range map[string]time.Duration{"bytes flow": 0, "bytes stop": time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const between, size = 20 * time.Second, 10
				took, err := ask(t, newWatched(t, func(req *http.Request) (*http.Response, error) {
					_, err := req.Body.Read(make([]byte, 1))
					must(t, errors.Join(err, req.Body.Close()))
					body, err := req.GetBody()
					must(t, err)
					for range size {
						if _, err := answersAfter(req, between); err != nil {
							return nil, err
						}
						_, err := io.ReadFull(body, make([]byte, 1))
						must(t, err)
					}
					if _, err := answersAfter(req, stall); err != nil {
						return nil, err
					}
					_, err = io.Copy(io.Discard, body)
					must(t, err)
					return answersAfter(req, time.Minute)
				}), "PUT", strings.Repeat("x", size))
				want := size*between + time.Minute
				if stall > 0 {
					want = size*between + 30*time.Second
				}
				if (err != nil) != (stall > 0) || took != want {
					t.Errorf("got %v after %s, want an end after %s", err, took, want)
				}
			})
		})
	}
}
