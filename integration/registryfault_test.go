package integration

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// registryFault is what a registry does, and what a command then says: the first line of the error, or nothing where it
// works in the end. HOST stands for the registry and DIGEST for any digest.
type registryFault struct {
	fault func(registry string) fault
	want  string
	tries int // requests that the fault answered; 0: not counted
}

const (
	manifests = "/manifests/"
	blobs     = "/blobs/sha256:"
	uploads   = "/blobs/uploads/"
)

func constant(f fault) func(string) fault { return func(string) fault { return f } }

func TestFaultsOfARegistryDuringAPull(t *testing.T) {
	for name, test := range map[string]registryFault{
		"401": {
			constant(first(always, http.MethodHead, manifests, answer(401))),
			"resolve HOST/app:1: HOST denies access: the repository does not exist or needs other credentials; log in with docker login HOST", 1,
		},
		"403": {
			constant(first(always, http.MethodHead, manifests, answer(403))),
			"resolve HOST/app:1: HOST forbids it; log in as someone who may with docker login HOST", 1,
		},
		"404": {
			constant(first(always, http.MethodHead, manifests, answer(404))),
			"resolve HOST/app:1: not found at HOST; check the name and the tag, and log in with docker login HOST if it is private", 0,
		},
		"429 once": {constant(first(1, http.MethodHead, manifests, answer(429, "Retry-After", "1"))), "", 1},
		"429 that asks for an hour": {
			constant(first(always, http.MethodHead, manifests, answer(429, "Retry-After", "3600"))),
			"resolve HOST/app:1: HOST answers 429 Too Many Requests and asks to wait 1h0m0s; try again then", 1,
		},
		"500 once":             {constant(first(1, http.MethodHead, manifests, answer(500))), "", 1},
		"500 once for a layer": {constant(first(1, http.MethodGet, blobs, answer(500))), "", 1},
		"500 always": {
			constant(first(always, http.MethodHead, manifests, answer(500))),
			"resolve HOST/app:1: HOST answers 500 Internal Server Error after 5 tries; the registry is in trouble, try later", 5,
		},
		"503 for layers": {
			constant(first(always, http.MethodGet, blobs, answer(503))),
			"fetch DIGEST of HOST/app:1: HOST answers 503 Service Unavailable (said by the registry) after 5 tries; the registry is in trouble, try later", 5,
		},
		"blob cut once": {func(registry string) fault { return first(1, http.MethodGet, blobs, cutBody(registry)) }, "", 1},
		"blob cut always": {
			func(registry string) fault { return onlyLarge(registry, cutBody(registry)) },
			"fetch DIGEST of HOST/app:1: HOST closed the connection in the middle or fell silent, and going on from there did not work; try again", 0,
		},
		"blob with other bytes": {
			func(registry string) fault { return onlyLarge(registry, wrongBody(registry)) },
			"fetch DIGEST: the bytes that came are not those of this digest", 0,
		},
		"manifest with other bytes": {
			func(registry string) fault { return first(always, http.MethodGet, manifests, wrongBody(registry)) },
			"pull HOST/app:1: the bytes that the registry sent for DIGEST do not have this digest", 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			registry := l.registry()
			digest := l.otherRoot("publisher").mustBuild(l.context(app), "-q", "-t", registry+"/app:1", "--push")
			p := startProxy(t, registry, nil)
			hits := p.spoil(test.fault(registry))
			dir := l.context("-- Buildfile --\nFROM " + p.host + "/app:1\nRUN true\n")

			started, pulled := time.Now(), make(chan result, 1)
			if test.want == "" {
				close(pulled)
			} else {
				go func() { pulled <- l.lbuild("pull", "-q", p.host+"/app:1") }()
				test.tries *= 2
			}
			r := l.build(dir, "-q", "-t", "left:1", "-o", "type=image", "-o", "type=oci,dest=out.oci")
			pull := <-pulled
			if took := time.Since(started); took > time.Minute {
				t.Errorf("took %s", took)
			}
			if got := hits(); test.tries > 0 && got != test.tries {
				t.Errorf("%d requests were spoiled, want %d", got, test.tries)
			}
			if test.want == "" {
				l.checkWorked(r)
				l.checkIdle()
				return
			}
			l.checkFault(r, "Buildfile:1: "+test.want, p.host)
			l.checkFault(pull, "error: "+test.want, p.host)
			l.checkNothingLeft()

			// What went wrong has no effect on the next try.
			p.spoil(nil)
			if got := l.mustLbuild("pull", "-q", p.host+"/app:1"); got != digest {
				t.Errorf("pulled %s, want %s", got, digest)
			}
			l.mustBuild(dir, "-q")
		})
	}
}

func TestFaultsOfARegistryDuringAPush(t *testing.T) {
	for name, test := range map[string]registryFault{
		"401": {
			constant(first(always, http.MethodPost, uploads, answer(401))),
			"push HOST/app:1: HOST denies access: the repository does not exist or needs other credentials (said by the registry); log in with docker login HOST", 0,
		},
		"403": {
			constant(first(always, http.MethodPost, uploads, answer(403))),
			"push HOST/app:1: HOST forbids it (said by the registry); log in as someone who may with docker login HOST", 0,
		},
		"429 once":                {constant(first(1, http.MethodPost, uploads, answer(429, "Retry-After", "1"))), "", 1},
		"500 once":                {constant(first(1, http.MethodPost, uploads, answer(500))), "", 1},
		"500 once for a blob":     {constant(first(1, http.MethodPut, uploads, answer(500))), "", 1},
		"hangs up once":           {constant(first(1, http.MethodPut, uploads, hangUp)), "", 1},
		"500 once for a manifest": {constant(first(1, http.MethodPut, manifests, answer(500))), "", 1},
		"500 always": {
			constant(first(always, http.MethodPut, uploads, answer(500))),
			"push HOST/app:1: HOST answers 500 Internal Server Error (said by the registry) after 5 tries; the registry is in trouble, try later", 0,
		},
		"hangs up always": {
			constant(first(always, http.MethodPut, uploads, hangUp)),
			"push HOST/app:1: HOST closed the connection without an answer after 5 tries", 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			registry := l.registry()
			p := startProxy(t, registry, nil)
			hits := p.spoil(test.fault(registry))
			dir := l.context(app)
			build := func() result { return l.build(dir, "-q", "-t", p.host+"/app:1", "--push", "-o", "type=image") }

			started := time.Now()
			r := build()
			if took := time.Since(started); took > time.Minute {
				t.Errorf("took %s", took)
			}
			if got := hits(); test.tries > 0 && got != test.tries {
				t.Errorf("%d requests were spoiled, want %d", got, test.tries)
			}
			if test.want != "" {
				l.checkFault(r, "error: output type=registry: "+test.want, p.host)
				l.checkIdle()
				if images := l.mustLbuild("images", "-q"); images != "" {
					t.Errorf("the image that was not pushed is in the store: %s", images)
				}
				p.spoil(nil)
				r = build()
			}
			l.checkWorked(r)
			if got, want := l.otherRoot("other").mustLbuild("pull", "-q", registry+"/app:1"), strings.TrimSpace(r.stdout); got != want {
				t.Errorf("pulled %s, want %s", got, want)
			}
		})
	}
}

func (l *lab) checkWorked(r result) {
	l.Helper()
	if r.code != 0 || r.stderr != "" {
		l.Errorf("status %d: %s", r.code, r.stderr)
	}
}

func (l *lab) checkFault(r result, want, host string) {
	l.Helper()
	line, _, _ := strings.Cut(r.stderr, "\n")
	got := strings.ReplaceAll(anyDigest.ReplaceAllString(line, "DIGEST"), host, "HOST")
	if diff := cmp.Diff(want, got); diff != "" || r.code != 1 || r.stdout != "" {
		l.Errorf("status %d, stdout %q, stderr (-want +got):\n%s", r.code, r.stdout, diff)
	}
}

// onlyLarge spoils the blobs of more than a megabyte, which all bases have one of.
func onlyLarge(registry string, do http.HandlerFunc) fault {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, blobs) {
			return false
		}
		resp, err := http.Head("http://" + registry + r.URL.Path)
		if err != nil || resp.Body.Close() != nil || resp.ContentLength < 1<<20 {
			return false
		}
		do(w, r)
		return true
	}
}

func hangUp(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
