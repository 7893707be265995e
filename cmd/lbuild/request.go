package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/docker/go-units"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/lbuild/lbuild/build"
	"github.com/lbuild/lbuild/diff"
	"github.com/lbuild/lbuild/diff/compress"
)

const (
	stdinName    = "<stdin>" // of a Buildfile in errors
	maxBuildfile = 16 << 20  // bytes, from stdin
)

// buildRequest turns the flags into a request, without reading anything. Its errors are usage errors.
func (a *app) buildRequest(f *buildFlags, context string) (build.Request, error) {
	if f.file == standardStream && context == standardStream {
		return build.Request{}, errors.New("stdin can be the Buildfile or the CONTEXT, not both")
	}
	if context == standardStream && isTerminal(a.stdin) {
		return build.Request{}, errors.New("CONTEXT - reads a tar archive from stdin, which is a terminal")
	}
	req := build.Request{
		Buildfile: f.file, Target: f.target, Pull: f.pull,
		NoCache: f.noCache, NoCacheStages: f.noCacheStages, Network: f.network,
	}
	steps := []func(*build.Request) error{
		func(r *build.Request) error { return a.setArgs(r, f) },
		func(r *build.Request) error { return a.setPacking(r, f) },
		f.setRuntime,
		f.setNames,
		func(r *build.Request) error { return a.setOutputs(r, f) },
		f.checkMemory,
	}
	for _, step := range steps {
		if err := step(&req); err != nil {
			return req, err
		}
	}
	a.setInput(&req, context)
	return req, nil
}

// setInput says where the context and the Buildfile come from.
func (a *app) setInput(req *build.Request, context string) {
	if context == standardStream {
		req.ContextTar = a.stdin
	} else {
		req.Context = context
	}
}

// readBuildfile reads the Buildfile that "-f -" promises on stdin.
func (a *app) readBuildfile(req *build.Request) error {
	text, err := io.ReadAll(io.LimitReader(a.stdin, maxBuildfile+1))
	if err != nil {
		return fmt.Errorf("read the Buildfile from stdin: %w", err)
	}
	if len(text) > maxBuildfile {
		return fmt.Errorf("the Buildfile on stdin is longer than %s", units.BytesSize(maxBuildfile))
	}
	req.Buildfile, req.BuildfileText = stdinName, append([]byte{}, text...)
	return nil
}

func (a *app) setArgs(req *build.Request, f *buildFlags) error {
	req.Args = make(map[string]string, len(f.args))
	for _, arg := range f.args {
		name, value, ok := strings.Cut(arg, "=")
		if name == "" {
			return fmt.Errorf("--build-arg %q has no name", arg)
		}
		if !ok {
			if value, ok = a.lookupEnv(name); !ok {
				continue // as if it was not given, so that the default of ARG counts
			}
		}
		req.Args[name] = value
	}
	var err error
	req.Contexts, err = pairs("--build-context", f.contexts)
	return err
}

func (a *app) setPacking(req *build.Request, f *buildFlags) (err error) {
	if req.Compression, err = compress.Parse(f.compression); err != nil {
		return fmt.Errorf("--compression: %w", err)
	}
	if req.Whiteouts, err = parseWhiteouts(f.whiteouts); err != nil {
		return err
	}
	req.Verify = f.verify
	req.Epoch, err = a.parseEpoch(f.epoch)
	return err
}

func parseWhiteouts(text string) (diff.Whiteouts, error) {
	switch text {
	case "opaque":
		return diff.Opaque, nil
	case "explicit":
		return diff.Explicit, nil
	}
	return 0, fmt.Errorf("--whiteouts %q is neither opaque nor explicit", text)
}

// parseEpoch reads a Unix time from --source-date-epoch or else the environment; nil is none.
func (a *app) parseEpoch(flag string) (*time.Time, error) {
	text, source := flag, "--source-date-epoch"
	if text == "" {
		text, source = a.env("SOURCE_DATE_EPOCH"), "SOURCE_DATE_EPOCH"
	}
	if text == "" {
		return nil, nil
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("%s %q is not a number of seconds", source, text)
	}
	t := time.Unix(seconds, 0).UTC()
	return &t, nil
}

// setRuntime sets what RUN steps see, and what the image is for.
func (f *buildFlags) setRuntime(req *build.Request) (err error) {
	switch f.network {
	case "default", "host", "none":
	default:
		return fmt.Errorf("--network %q is neither host nor none", f.network)
	}
	if req.Hosts, err = parseHosts(f.hosts); err != nil {
		return err
	}
	if req.Platforms, err = parsePlatforms(f.platforms); err != nil {
		return err
	}
	if req.Ulimits, err = parseUlimits(f.ulimits); err != nil {
		return err
	}
	if f.jobs < 0 {
		return fmt.Errorf("--jobs %d is less than one", f.jobs)
	}
	if f.shmSize == "" {
		return nil
	}
	if req.ShmSize, err = units.RAMInBytes(f.shmSize); err != nil || req.ShmSize <= 0 {
		return fmt.Errorf("--shm-size %q is not a size such as 128m", f.shmSize)
	}
	return nil
}

// parseHosts reads NAME:IP and NAME=IP; an IPv6 address may stand in brackets.
func parseHosts(texts []string) ([]build.Host, error) {
	var hosts []build.Host
	for _, text := range texts {
		at := strings.IndexAny(text, ":=")
		if at <= 0 {
			return nil, fmt.Errorf("--add-host %q is not NAME:IP", text)
		}
		ip := strings.TrimSuffix(strings.TrimPrefix(text[at+1:], "["), "]")
		if _, err := netip.ParseAddr(ip); err != nil {
			return nil, fmt.Errorf("--add-host %q: %q is not an IP address", text, text[at+1:])
		}
		hosts = append(hosts, build.Host{Name: text[:at], IP: ip})
	}
	return hosts, nil
}

// parseUlimits reads limits as docker has them; the last of a name counts. They are sorted by name.
func parseUlimits(texts []string) ([]build.Ulimit, error) {
	limits := map[string]build.Ulimit{}
	for _, text := range texts {
		l, err := units.ParseUlimit(text)
		if err != nil {
			return nil, fmt.Errorf("--ulimit %q is not NAME=SOFT[:HARD]: %w", text, err)
		}
		limits[l.Name] = build.Ulimit{Name: l.Name, Soft: l.Soft, Hard: l.Hard}
	}
	var list []build.Ulimit
	for _, name := range slices.Sorted(maps.Keys(limits)) {
		list = append(list, limits[name])
	}
	return list, nil
}

// parsePlatforms reads the platforms of a build.
func parsePlatforms(texts []string) ([]ocispec.Platform, error) {
	var list []ocispec.Platform
	for _, text := range texts {
		p, err := parsePlatform(text)
		if err != nil {
			return nil, err
		}
		if p == nil {
			return nil, errors.New("--platform names nothing")
		}
		list = append(list, *p)
	}
	return list, nil
}

// parsePlatform reads one platform; "" gives nil.
func parsePlatform(text string) (*ocispec.Platform, error) {
	if text == "" {
		return nil, nil
	}
	if strings.Contains(text, ",") {
		return nil, fmt.Errorf("--platform %q: one platform at a time", text)
	}
	p, err := platforms.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("--platform %q is not OS/ARCH[/VARIANT]", text)
	}
	return &p, nil
}

func (f *buildFlags) setNames(req *build.Request) (err error) {
	if req.Tags, err = parseNames(f.tags); err != nil {
		return fmt.Errorf("--tag: %w", err)
	}
	req.Labels = make(map[string]string, len(f.labels))
	for _, label := range f.labels {
		key, value, _ := strings.Cut(label, "=")
		if key == "" {
			return fmt.Errorf("--label %q has no key", label)
		}
		req.Labels[key] = value
	}
	return nil
}

// parseNames checks names for images, which may have a tag but no digest.
func parseNames(names []string) ([]string, error) {
	for _, name := range names {
		ref, err := reference.ParseNormalizedNamed(name)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", name, err)
		}
		if _, ok := ref.(reference.Digested); ok {
			return nil, fmt.Errorf("%q: a digest cannot be chosen", name)
		}
	}
	return names, nil
}

func (a *app) setOutputs(req *build.Request, f *buildFlags) error {
	for _, text := range f.outputs {
		out, err := parseOutput(text)
		if err != nil {
			return err
		}
		if out.Dest == standardStream {
			out.Writer = a.stdout
		}
		req.Outputs = append(req.Outputs, out)
	}
	if f.push {
		req.Outputs = append(req.Outputs, build.Output{Type: build.OutputRegistry})
	}
	return a.checkOutputs(req, f)
}

// checkOutputs refuses outputs that contradict each other or the other flags.
func (a *app) checkOutputs(req *build.Request, f *buildFlags) error {
	switch streams := toStdout(req.Outputs); {
	case streams > 1:
		return errors.New("only one output can go to stdout")
	case streams == 1 && isTerminal(a.stdout):
		return errors.New("an output would go to the terminal: use dest=FILE, or redirect stdout")
	case len(req.Platforms) > 1 && onePlatform(req.Outputs) != "":
		return fmt.Errorf("type=%s holds one platform, and --platform names %d", onePlatform(req.Outputs), len(req.Platforms))
	case f.imageIDFile != "" && !makesImage(req.Outputs):
		return errors.New("--iidfile needs an output that makes an image")
	}
	for _, out := range req.Outputs {
		if out.Type == build.OutputRegistry && len(out.Names)+len(req.Tags) == 0 {
			return errors.New("pushing needs a --tag, or name= in the output")
		}
	}
	return nil
}

// onePlatform is the type of the first output that can hold one platform only; "" for none.
func onePlatform(outputs []build.Output) build.OutputType {
	for _, out := range outputs {
		if out.Type == build.OutputDocker || out.Type == build.OutputTar {
			return out.Type
		}
	}
	return ""
}

// pairs reads NAME=VALUE texts into a map.
func pairs(flag string, texts []string) (map[string]string, error) {
	m := make(map[string]string, len(texts))
	for _, text := range texts {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" || value == "" {
			return nil, fmt.Errorf("%s %q is not NAME=VALUE", flag, text)
		}
		m[name] = value
	}
	return m, nil
}
