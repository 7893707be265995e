package integration

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// proxy stands before a registry, counts the requests and spoils some of them.
type proxy struct {
	host   string
	server *httptest.Server

	mu     sync.Mutex
	seen   []*http.Request
	faults fault
}

// fault answers a request itself and returns true, or leaves it to the registry.
type fault func(w http.ResponseWriter, r *http.Request) bool

func startProxy(t testing.TB, registry string, spoil fault) *proxy {
	t.Helper()
	quiet := log.New(io.Discard, "", 0)
	forward := &httputil.ReverseProxy{ErrorLog: quiet, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: registry})
		r.Out.Host = r.In.Host // so that the registry's own links lead here
	}}
	p := &proxy{faults: spoil}
	p.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.seen = append(p.seen, r.Clone(r.Context()))
		spoil := p.faults
		p.mu.Unlock()
		if spoil == nil || !spoil(w, r) {
			forward.ServeHTTP(w, r)
		}
	}))
	p.server.Config.ErrorLog = quiet
	p.server.Start()
	t.Cleanup(p.stop)
	p.host = p.server.Listener.Addr().String()
	return p
}

// spoil changes what happens to further requests; nil is nothing. hits returns how many it has happened to.
func (p *proxy) spoil(f fault) (hits func() int) {
	var n atomic.Int64
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = nil
	if f != nil {
		p.faults = func(w http.ResponseWriter, r *http.Request) (hit bool) {
			defer func() {
				if e := recover(); e != nil {
					n.Add(1)
					panic(e) // it ends the connection
				} else if hit {
					n.Add(1)
				}
			}()
			return f(w, r)
		}
	}
	return func() int { return int(n.Load()) }
}

// stop makes the address refuse connections. It may be repeated.
func (p *proxy) stop() {
	p.server.CloseClientConnections()
	p.server.Close()
}

// count returns how many requests so far have the method ("" for any) and the part of their address.
func (p *proxy) count(method, part string) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.seen {
		if (method == "" || r.Method == method) && strings.Contains(r.URL.String(), part) {
			n++
		}
	}
	return n
}

func (p *proxy) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = nil
}

// first makes a fault happen only to the first n requests that match.
func first(n int, method, part string, do http.HandlerFunc) fault {
	var mu sync.Mutex
	return func(w http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		hit := n > 0 && r.Method == method && strings.Contains(r.URL.Path, part)
		if hit {
			n--
		}
		mu.Unlock()
		if hit {
			do(w, r)
		}
		return hit
	}
}

// always is the number of times for first.
const always = 1 << 30

// answer is what a registry says to a request that it does not serve.
func answer(status int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, `{"errors":[{"code":"X","message":"said by the registry"}]}`)
	}
}

// cutBody serves a third of what the registry would, from where it is asked to, and ends the connection.
func cutBody(registry string) http.HandlerFunc {
	return spoilBody(registry, func(w http.ResponseWriter, body []byte) {
		_, _ = w.Write(body[:len(body)/3])
		panic(http.ErrAbortHandler)
	})
}

// wrongBody serves as many bytes as the registry would, but others.
func wrongBody(registry string) http.HandlerFunc {
	return spoilBody(registry, func(w http.ResponseWriter, body []byte) {
		for i := range body {
			body[i] ^= 1
		}
		_, _ = w.Write(body)
	})
}

func spoilBody(registry string, send func(http.ResponseWriter, []byte)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		out := r.Clone(r.Context())
		out.URL.Scheme, out.URL.Host, out.RequestURI = "http", registry, ""
		resp, err := http.DefaultTransport.RoundTrip(out)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		for key, values := range resp.Header {
			w.Header()[key] = values
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(resp.StatusCode)
		send(w, body)
	}
}
