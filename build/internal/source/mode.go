package source

import (
	"errors"
	"fmt"
	"strconv"

	mode "github.com/tonistiigi/dchapes-mode"
)

const maxMode = 0o7777

// chmod is a --chmod. The zero value keeps modes.
type chmod struct {
	octal    *uint32   // 07777 at most
	symbolic *mode.Set // as chmod(1) without a umask
}

// CheckMode returns why spec cannot be a --chmod: octal up to 7777, or symbolic like u+x,go-w. "" can.
func CheckMode(spec string) error {
	_, err := parseMode(spec)
	return err
}

func parseMode(spec string) (chmod, error) {
	if spec == "" {
		return chmod{}, nil
	}
	if n, err := strconv.ParseUint(spec, 8, 32); err == nil && n <= maxMode {
		octal := uint32(n)
		return chmod{octal: &octal}, nil
	}
	set, err := mode.ParseWithUmask(spec, 0)
	if isNumeric := errors.As(err, new(*strconv.NumError)); err != nil || isNumeric || spec[0] >= '0' && spec[0] <= '9' {
		return chmod{}, fmt.Errorf("invalid mode %q: want octal digits up to 7777, or symbols like u+x,go-w", spec)
	}
	return chmod{symbolic: &set}, nil
}

// apply gives the permissions, 07777 at most, for an entry that has mode.
func (c chmod) apply(mode uint32) uint32 {
	switch {
	case c.octal != nil:
		return *c.octal
	case c.symbolic != nil:
		return permissions(c.symbolic.Apply(fileMode(mode)))
	}
	return mode & maxMode
}

// parents gives the permissions of directories that are made on the way to a destination. As in docker
// an octal mode holds for them too.
func (c chmod) parents() uint32 {
	if c.octal != nil {
		return *c.octal & 0o777
	}
	return 0o755
}
