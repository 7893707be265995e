package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteserrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	digest "github.com/opencontainers/go-digest"

	"github.com/lbuild/lbuild/build/internal/image"
)

// Error is what went wrong with a registry, in one sentence that says what to do. Unwrap gives the cause.
type Error struct {
	Op     string // "resolve", "pull", "push" …
	Ref    string // as a person writes it
	Reason string
	Err    error
}

func (e *Error) Error() string { return e.Op + " " + e.Ref + ": " + e.Reason }

// Unwrap returns the cause, in which errdefs.ErrNotFound and a cancelled context can be found.
func (e *Error) Unwrap() error { return e.Err }

// Cause gives the *Error in err, which names image and blob itself, without the ways that it came. Other errors stay what
// they are.
func Cause(err error) error {
	if trouble, ok := errors.AsType[*Error](err); ok {
		return trouble
	}
	return err
}

// explain turns what containerd and the transport say into an *Error. A cancelled context stays what it is, and so does
// an *Error.
func (c *Client) explain(ctx context.Context, op string, ref reference.Named, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if known, ok := errors.AsType[*Error](err); ok {
		return known
	}
	return &Error{Op: op, Ref: reference.FamiliarString(ref), Reason: c.reason(reference.Domain(ref), err), Err: err}
}

// storeError is trouble on this side, which must not be taken for the registry's.
type storeError struct {
	digest digest.Digest
	err    error
}

func (e *storeError) Error() string { return fmt.Sprintf("blob %s in the store: %v", e.digest, e.err) }
func (e *storeError) Unwrap() error { return e.err }

func (c *Client) reason(host string, err error) string {
	if local, ok := errors.AsType[*storeError](err); ok {
		return local.Error()
	}
	if f, ok := errors.AsType[*failure](err); ok {
		return f.reason(c.patience)
	}
	if status, ok := errors.AsType[remoteserrors.ErrUnexpectedStatus](err); ok {
		return refusal(host, status.StatusCode, registryMessage(strings.NewReader(string(status.Body))))
	}
	if lacking, ok := errors.AsType[*image.PlatformError](err); ok {
		return lacking.Error()
	}
	switch {
	case errors.Is(err, errCredentials), errors.Is(err, errTooLarge):
		return err.Error()
	case errors.Is(err, docker.ErrInvalidAuthorization):
		return refusal(host, http.StatusUnauthorized, "")
	case errdefs.IsNotFound(err):
		return refusal(host, http.StatusNotFound, "")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return host + " closed the connection in the middle or fell silent, and going on from there did not work; try again"
	}
	return err.Error()
}

// reason says how a request that was tried several times ended.
func (f *failure) reason(p patience) string {
	tries := ""
	if f.tries > 1 {
		tries = fmt.Sprintf(" after %d tries", f.tries)
	}
	switch {
	case f.cause != nil:
		what, hint, _ := strings.Cut(unreachable(f.cause), ";")
		if hint != "" {
			hint = ";" + hint
		}
		return f.host + " " + what + tries + hint
	case f.retryAfter > p.longest:
		return fmt.Sprintf("%s answers %s and asks to wait %s; try again then", f.host, statusText(f.status), f.retryAfter.Round(time.Second))
	case f.status == http.StatusTooManyRequests:
		return fmt.Sprintf("%s%s; log in with docker login %s for a higher limit, or try later",
			withMessage(f.host+" answers "+statusText(f.status), f.message), tries, f.host)
	}
	return withMessage(f.host+" answers "+statusText(f.status), f.message) + tries + "; the registry is in trouble, try later"
}

// refusal says what an answer in the 400s means.
func refusal(host string, status int, message string) string {
	switch status {
	case http.StatusUnauthorized:
		return withMessage(host+" denies access: the repository does not exist or needs other credentials", message) +
			"; log in with docker login " + host
	case http.StatusForbidden:
		return withMessage(host+" forbids it", message) + "; log in as someone who may with docker login " + host
	case http.StatusNotFound:
		return withMessage("not found at "+host, message) + "; check the name and the tag, and log in with docker login " + host + " if it is private"
	}
	return withMessage(host+" answers "+statusText(status), message)
}

// unreachable says why there was no answer.
func unreachable(cause error) string {
	if silent, ok := errors.AsType[*silentError](cause); ok {
		return silent.Error()
	}
	if dns, ok := errors.AsType[*net.DNSError](cause); ok && dns.IsNotFound {
		return "is not a known host; check the name"
	}
	switch {
	case errors.Is(cause, http.ErrSchemeMismatch):
		return "speaks plain http only; name it with --insecure-registry if that is right"
	case errors.Is(cause, syscall.ECONNREFUSED):
		return "refused the connection; check that a registry runs there"
	case errors.Is(cause, io.EOF), errors.Is(cause, io.ErrUnexpectedEOF), errors.Is(cause, syscall.ECONNRESET),
		errors.Is(cause, syscall.EPIPE), errors.Is(cause, net.ErrClosed):
		return "closed the connection without an answer"
	}
	return "could not be reached (" + cause.Error() + ")"
}

func statusText(status int) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", status, http.StatusText(status)))
}

func withMessage(text, message string) string {
	if message == "" {
		return text
	}
	return text + " (" + message + ")"
}

const maxMessage = 200 // bytes of a registry's own words in an error

// registryMessage returns the first message of an error body by the distribution spec, on one line, or nothing.
func registryMessage(body io.Reader) string {
	var answer struct {
		Errors []struct{ Code, Message string }
	}
	if json.NewDecoder(io.LimitReader(body, 64<<10)).Decode(&answer) != nil || len(answer.Errors) == 0 {
		return ""
	}
	text := answer.Errors[0].Message
	if text == "" {
		text = answer.Errors[0].Code
	}
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "")), " ")
	return text[:min(len(text), maxMessage)]
}
