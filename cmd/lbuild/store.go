package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/log"
	"github.com/sirupsen/logrus"

	"github.com/lbuild/lbuild/build"
	"github.com/lbuild/lbuild/build/images"
	"github.com/lbuild/lbuild/snapshot"
)

const systemRoot = "/var/lib/lbuild"

// withBuilder opens the store, runs fn with a builder on it that has what opts say, and closes the store. fn uses the context that it gets.
func (a *app) withBuilder(ctx context.Context, opts build.Options, fn func(context.Context, *build.Builder) error) error {
	return a.withStore(ctx, func(ctx context.Context, store *snapshot.Store) error {
		opts.InsecureRegistries, opts.Version = a.insecureRegistries, buildVersion().Version
		builder, err := build.New(store, opts)
		if err != nil {
			return err
		}
		return fn(ctx, builder)
	})
}

// withImages opens the store, runs fn with its images, and closes the store. fn uses the context that it gets.
func (a *app) withImages(ctx context.Context, fn func(context.Context, *images.Images) error) error {
	return a.withStore(ctx, func(ctx context.Context, store *snapshot.Store) error {
		m, err := images.New(store, images.Options{InsecureRegistries: a.insecureRegistries, Version: buildVersion().Version})
		if err != nil {
			return err
		}
		return fn(ctx, m)
	})
}

// withStore opens the store, runs fn, and closes the store. fn uses the context that it gets.
func (a *app) withStore(ctx context.Context, fn func(context.Context, *snapshot.Store) error) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("lbuild needs to be root, because it mounts file systems: try it with sudo")
	}
	a.setLogging()
	root, err := a.rootDirectory()
	if err != nil {
		return err
	}
	store, err := build.OpenStore(ctx, root, a.warnOfStore)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	return fn(ctx, store)
}

// warnOfStore shows what the store could not clean up, in the form that the command's progress has.
func (a *app) warnOfStore(err error) {
	e := build.Event{Version: 1, Time: time.Now(), Type: build.EventWarning, Text: err.Error()}
	if r := a.shown.Load(); r != nil && r.warn(e) {
		return
	}
	if a.progress == progressJSON {
		newJSONDisplay(a.stderr).Show(e)
	} else {
		fmt.Fprintln(a.stderr, warningLine(e))
	}
}

// rootDirectory is where the store lies: --root, $LBUILD_ROOT, or the place for this kind of user.
func (a *app) rootDirectory() (string, error) {
	if a.root != "" {
		return filepath.Abs(a.root)
	}
	if root := a.env("LBUILD_ROOT"); root != "" {
		return filepath.Abs(root)
	}
	if os.Geteuid() == 0 {
		return systemRoot, nil
	}
	data := a.env("XDG_DATA_HOME")
	if data == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", err
		}
		data = filepath.Join(home, ".local", "share")
	}
	return filepath.Join(data, "lbuild"), nil
}

// setLogging has containerd's libraries log to stderr with --debug, else nowhere. They use the logger of the process
// where they have no context.
func (a *app) setLogging() {
	log.L.Logger.SetOutput(io.Discard)
	if a.debug {
		log.L.Logger.SetOutput(a.stderr)
		log.L.Logger.SetLevel(logrus.DebugLevel)
	}
}
