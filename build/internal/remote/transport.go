package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/go-retryablehttp"
)

// newTransport is Go's transport with the limits of p. Compression on the way is not asked for: layers are compressed
// already, and a hostile body could unpack to any size. A handshake that takes long is the watchdog's to end: from Go's own
// error containerd would take a slow host on loopback for one that speaks plain http.
func newTransport(p patience) *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: p.silence / 2, KeepAlive: p.silence}).DialContext,
		MaxIdleConnsPerHost:   uploads,
		IdleConnTimeout:       p.silence,
		TLSHandshakeTimeout:   p.dead,
		ExpectContinueTimeout: 5 * time.Second,
		ForceAttemptHTTP2:     true,
		DisableCompression:    true,
	}
}

// failure is the last of the tries of one request, as a plain error. containerd would repeat the request at once if it
// saw the answer itself, or an error that is a timeout or io.EOF, so neither can be unwrapped from it.
type failure struct {
	host       string
	status     int           // of the answer, 0 when there was none
	message    string        // the registry's own
	tries      int           // that were made
	retryAfter time.Duration // that the registry asks for
	upload     bool          // the request had a body that only the caller can send again
	cause      error         // nil when there was an answer
}

// uncommitted reports that the host had all of an upload, and did not answer for as long as it may take.
func (f *failure) uncommitted() bool {
	silent, ok := errors.AsType[*silentError](f.cause)
	return ok && silent.commit
}

func (f *failure) Error() string {
	if f.cause != nil {
		return fmt.Sprintf("%s: %v", f.host, f.cause)
	}
	return fmt.Sprintf("%s answers %s", f.host, withMessage(statusText(f.status), f.message))
}

// Is lets a cancelled context be seen, and nothing else.
func (f *failure) Is(target error) bool {
	return (target == context.Canceled || target == context.DeadlineExceeded) && errors.Is(f.cause, target)
}

// retrier sends requests up to the number of tries, except those with a body that only the caller can send again. An
// answer that a later try could change becomes a *failure.
type retrier struct {
	base     http.RoundTripper
	client   *http.Client
	patience patience
}

func newRetrier(base http.RoundTripper, p patience) *retrier {
	return &retrier{base: base, client: &http.Client{Transport: base, CheckRedirect: neverRedirect}, patience: p}
}

// neverRedirect leaves redirects to containerd, which decides whether the credentials go along.
func neverRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func (r *retrier) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("Accept-Encoding", "identity")
	resp, tries, err := r.send(req)
	fail := &failure{host: req.URL.Host, tries: tries, upload: !repeatable(req)}
	if err != nil {
		fail.cause = err
		return nil, fail
	}
	if !temporary(resp.StatusCode) {
		return bounded(resp), nil
	}
	defer resp.Body.Close()
	fail.status, fail.message, fail.retryAfter = resp.StatusCode, registryMessage(resp.Body), retryAfter(resp)
	return nil, fail
}

func (r *retrier) send(req *http.Request) (resp *http.Response, tries int, err error) {
	if !repeatable(req) {
		resp, err = r.base.RoundTrip(req)
		return resp, 1, err
	}
	client := &retryablehttp.Client{
		HTTPClient:   r.client,
		RetryWaitMin: r.patience.pause,
		RetryWaitMax: r.patience.pause << r.patience.tries,
		RetryMax:     r.patience.tries - 1,
		Backoff:      retryablehttp.DefaultBackoff,
		CheckRetry: func(ctx context.Context, resp *http.Response, err error) (bool, error) {
			tries++
			if tries >= refusals && refusedHere(req, err) {
				return false, nil
			}
			return r.again(ctx, resp, err)
		},
		ErrorHandler: retryablehttp.PassthroughErrorHandler,
	}
	resp, err = (&retryablehttp.RoundTripper{Client: client}).RoundTrip(req)
	return resp, tries, err
}

// refusals is how often this machine may refuse a connection: a registry may be about to start, but nothing between
// heals.
const refusals = 2

// refusedHere reports that nothing listens where a request went, on this machine.
func refusedHere(req *http.Request, err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) && isLoopback(req.URL.Host)
}

// again reports whether one more try can help.
func (r *retrier) again(ctx context.Context, resp *http.Response, err error) (bool, error) {
	if err != nil {
		if hopeless(err) {
			return false, nil
		}
		return retryablehttp.DefaultRetryPolicy(ctx, resp, err)
	}
	return temporary(resp.StatusCode) && retryAfter(resp) <= r.patience.longest, nil
}

// hopeless reports that a host will not answer the next try either.
func hopeless(err error) bool {
	if silent, ok := errors.AsType[*silentError](err); ok && silent.dead {
		return true
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
		return true
	}
	return errors.Is(err, http.ErrSchemeMismatch)
}

// repeatable reports whether a request can be sent twice: starting an upload or asking for a token twice does no harm,
// and their bodies are small.
func repeatable(req *http.Request) bool {
	return req.Method == http.MethodGet || req.Method == http.MethodHead || req.Method == http.MethodPost
}

func temporary(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests:
		return true
	}
	return status >= http.StatusInternalServerError && status != http.StatusNotImplemented
}

// retryAfter returns how long the registry asks to wait, 0 when it does not say.
func retryAfter(resp *http.Response) time.Duration {
	if resp.Header.Get("Retry-After") == "" {
		return 0
	}
	return retryablehttp.DefaultBackoff(0, 0, 0, resp)
}

// bounded limits the size of an answer that is kept in memory, and takes back an encoding that was not asked for.
func bounded(resp *http.Response) *http.Response {
	resp.Header.Del("Content-Encoding")
	if strings.Contains(resp.Request.URL.Path, "/manifests/") {
		resp.Body = &limitedBody{ReadCloser: resp.Body, left: maxManifest}
	}
	return resp
}

// limited bounds every answer.
type limited struct {
	base http.RoundTripper
	max  int64 // bytes
}

func (l *limited) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := l.base.RoundTrip(req)
	if err == nil {
		resp.Body = &limitedBody{ReadCloser: resp.Body, left: l.max}
	}
	return resp, err
}

// limitedBody ends with an error, not quietly, where the limit is.
type limitedBody struct {
	io.ReadCloser
	left int64 // bytes
}

var errTooLarge = errors.New("the answer is too large")

func (b *limitedBody) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, errTooLarge
	}
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	if b.left < 0 {
		return n, errTooLarge
	}
	return n, err
}
