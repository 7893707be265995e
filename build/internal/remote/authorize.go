package remote

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"golang.org/x/sync/semaphore"
)

// authorizer has one of containerd's for each scope, which it asks for one request at a time. containerd lets all who want
// a token of a scope wait for the first of them and keeps what that one got, for ever: also its error or its cancellation.
type authorizer struct {
	fresh func() docker.Authorizer

	mu     sync.Mutex
	scopes map[string]*scope
}

// scope is what a token is good for, such as to pull from one repository.
type scope struct {
	turn *semaphore.Weighted // of one
	base docker.Authorizer   // for whoever has the turn
}

// Authorize adds what the host is known to want. After an error nothing is known, and the next request learns it from
// a 401. The body of a request that will not be sent is closed: containerd just drops it, and the push that writes to its
// other end would wait for ever.
func (a *authorizer) Authorize(ctx context.Context, req *http.Request) error {
	if err := a.authorize(ctx, req); err != nil {
		return errors.Join(err, closeBody(req))
	}
	return nil
}

func (a *authorizer) authorize(ctx context.Context, req *http.Request) error {
	s := a.scope(ctx)
	if err := s.turn.Acquire(ctx, 1); err != nil {
		return err
	}
	defer s.turn.Release(1)
	err := s.base.Authorize(ctx, req)
	if err != nil {
		s.base = a.fresh()
	}
	return err
}

// AddResponses learns from a 401 what the host wants.
func (a *authorizer) AddResponses(ctx context.Context, responses []*http.Response) error {
	s := a.scope(ctx)
	if err := s.turn.Acquire(ctx, 1); err != nil {
		return err
	}
	defer s.turn.Release(1)
	return s.base.AddResponses(ctx, responses)
}

func (a *authorizer) scope(ctx context.Context) *scope {
	name := strings.Join(docker.GetTokenScopes(ctx, nil), " ")
	a.mu.Lock()
	defer a.mu.Unlock()
	s, ok := a.scopes[name]
	if !ok {
		s = &scope{turn: semaphore.NewWeighted(1), base: a.fresh()}
		a.scopes[name] = s
	}
	return s
}
