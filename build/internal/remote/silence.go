package remote

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// watched ends a request whose host is silent: before the answer, in the middle of its body, or by not taking the bytes
// of an upload. Time that passes because the caller does not read, or has nothing to send, does not count.
type watched struct {
	base     http.RoundTripper
	patience patience
	hosts    *silences
}

// silentError says that a host sent nothing for some time.
type silentError struct {
	lasted time.Duration
	dead   bool // and is not asked again
	commit bool // after all of an upload, which is not sent again
}

func (e *silentError) Error() string { return fmt.Sprintf("sent nothing for %s", e.lasted) }

func (w *watched) RoundTrip(req *http.Request) (*http.Response, error) {
	host := w.hosts.of(req.URL.Host)
	left := host.wait(w.patience)
	if left <= 0 {
		host.done(false)
		return nil, errors.Join(&silentError{lasted: w.patience.dead, dead: true}, closeBody(req))
	}
	dog := newWatchdog(req.Context(), w.patience, host, left)
	resp, err := w.base.RoundTrip(dog.watch(req))
	dog.disarm()
	dog.answered(err == nil)
	if err != nil {
		err = cmp.Or(dog.bit(), err)
		dog.cancel(nil)
		return nil, err
	}
	resp.Body = &watchedBody{ReadCloser: resp.Body, dog: dog}
	return resp, nil
}

func closeBody(req *http.Request) error {
	if req.Body == nil {
		return nil
	}
	return req.Body.Close()
}

// watchdog cancels one request when nothing moves for too long.
type watchdog struct {
	ctx      context.Context // of the request on its way
	cancel   context.CancelCauseFunc
	timer    *time.Timer
	patience patience
	host     *silence
	released atomic.Bool // host has been told that the request waits for it no more

	mu     sync.Mutex
	silent silentError // what the request ends with when the timer fires
	until  time.Time   // when that is
}

// newWatchdog gives the host until the end of its silence, or what is left when it is nearly dead.
func newWatchdog(parent context.Context, p patience, host *silence, left time.Duration) *watchdog {
	d := &watchdog{patience: p, host: host, silent: silentError{lasted: p.silence}}
	if left < p.silence {
		d.silent = silentError{lasted: p.dead, dead: true}
	}
	d.ctx, d.cancel = context.WithCancelCause(parent)
	limit := min(left, p.silence)
	d.until = time.Now().Add(limit)
	d.timer = time.AfterFunc(limit, d.bite)
	return d
}

// watch returns the request as it is sent. It may have several bodies, one after the other: net/http gets a new one when a
// connection that it had kept turns out to be dead.
func (d *watchdog) watch(req *http.Request) *http.Request {
	commits, again := !repeatable(req) && req.ContentLength >= d.patience.large, req.GetBody
	req = req.WithContext(d.ctx)
	if req.Body != nil {
		req.Body = &watchedUpload{ReadCloser: req.Body, dog: d, commits: commits}
	}
	if again != nil {
		req.GetBody = func() (io.ReadCloser, error) {
			body, err := again()
			if err != nil {
				return nil, err
			}
			return &watchedUpload{ReadCloser: body, dog: d, commits: commits}, nil
		}
	}
	return req
}

// bite does nothing when the timer was armed again after it fired.
func (d *watchdog) bite() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if time.Now().Before(d.until) {
		return
	}
	silent := d.silent
	d.cancel(&silent)
}

func (d *watchdog) arm(silent silentError) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.silent, d.until = silent, time.Now().Add(silent.lasted)
	d.timer.Reset(silent.lasted)
}

func (d *watchdog) disarm() { d.timer.Stop() }
func (d *watchdog) rearm()  { d.arm(silentError{lasted: d.patience.silence}) }

// sent gives the host the time to commit what it has been sent. Its silence meanwhile must not make it a dead host for
// other requests.
func (d *watchdog) sent() {
	if !d.released.Swap(true) {
		d.host.rest()
	}
	d.arm(silentError{lasted: d.patience.commit, commit: true})
}

func (d *watchdog) answered(heard bool) {
	switch {
	case !d.released.Swap(true):
		d.host.done(heard)
	case heard:
		d.host.heard()
	}
}

// bit returns the watchdog's own error, or nil when it did not end the request.
func (d *watchdog) bit() error {
	if silent, ok := errors.AsType[*silentError](context.Cause(d.ctx)); ok {
		return silent
	}
	return nil
}

// watchedUpload is a body on its way out. The time between two reads is the network's, that within a read the caller's.
type watchedUpload struct {
	io.ReadCloser
	dog     *watchdog
	commits bool // the host has work to do after the last byte
}

func (b *watchedUpload) Read(p []byte) (int, error) {
	b.dog.disarm()
	b.dog.host.heard()
	n, err := b.ReadCloser.Read(p)
	if b.commits && err == io.EOF {
		b.dog.sent()
	} else {
		b.dog.rearm()
	}
	return n, err
}

// watchedBody is the body of an answer. Whatever breaks it off is io.ErrUnexpectedEOF, on which containerd's fetcher
// goes on from the same byte with a new request.
type watchedBody struct {
	io.ReadCloser
	dog *watchdog
}

func (b *watchedBody) Read(p []byte) (int, error) {
	b.dog.host.wait(b.dog.patience)
	b.dog.rearm()
	n, err := b.ReadCloser.Read(p)
	b.dog.disarm()
	b.dog.host.done(n > 0 || err == io.EOF)
	if err == nil || err == io.EOF {
		return n, err
	}
	if b.dog.bit() == nil && b.dog.ctx.Err() != nil {
		return n, err // the caller gave up
	}
	return n, io.ErrUnexpectedEOF
}

func (b *watchedBody) Close() error {
	b.dog.disarm()
	defer b.dog.cancel(nil)
	return b.ReadCloser.Close()
}

// silences knows for each host since when it is silent.
type silences struct {
	mu    sync.Mutex
	hosts map[string]*silence
}

func (s *silences) of(host string) *silence {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hosts == nil {
		s.hosts = map[string]*silence{}
	}
	if s.hosts[host] == nil {
		s.hosts[host] = &silence{}
	}
	return s.hosts[host]
}

// silence of one host, over all requests to it: a dead registry must not cost the full time for each blob.
type silence struct {
	mu      sync.Mutex
	waiting int       // requests that want something from the host at this moment
	since   time.Time // when it was last heard, or first asked
	lost    time.Time // when a request last failed without an answer; zero since it was heard
}

// wait starts to count and returns how long the host still has before it counts as dead.
func (s *silence) wait(p patience) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	// A failure that is long ago says nothing about the host today.
	if s.waiting == 0 && now.Sub(s.lost) > p.dead/4 {
		s.since = now
	}
	s.waiting++
	return s.since.Add(p.dead).Sub(now)
}

// done ends what wait began.
func (s *silence) done(heard bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting--
	if heard {
		s.since, s.lost = time.Now(), time.Time{}
		return
	}
	s.lost = time.Now()
}

// rest ends what wait began, and says nothing about the host.
func (s *silence) rest() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting--
}

func (s *silence) heard() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.since, s.lost = time.Now(), time.Time{}
}
