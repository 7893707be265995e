package snapshot

import (
	"context"
	"fmt"
)

// discard throws a tree away. What of it cannot be removed stays in the trash, with a warning: the work that it was
// thrown away for is done.
func (s *Store) discard(path string) error {
	name, err := s.trash.moveIn(path)
	if err != nil {
		return err
	}
	return s.removeTrash(detached(), name)
}

// removeTrash removes what is in the trash under these names. Only the end of ctx is an error.
func (s *Store) removeTrash(ctx context.Context, names ...string) error {
	return s.warnOfTrash(ctx, s.trash.remove(ctx, names...))
}

// emptyTrash removes also what others threw away. Only the end of ctx is an error.
func (s *Store) emptyTrash(ctx context.Context) error {
	return s.warnOfTrash(ctx, s.trash.empty(ctx))
}

// warnOfTrash warns of what could not be removed: it must keep nobody from working.
func (s *Store) warnOfTrash(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		s.warn(fmt.Errorf("store %s: leave what was thrown away for later: %w", s.root, err))
	}
	return nil
}

// warn keeps the callers of Warn apart: steps run side by side.
func (s *Store) warn(err error) {
	if s.opts.Warn == nil {
		return
	}
	s.warning.Lock()
	defer s.warning.Unlock()
	s.opts.Warn(err)
}
