package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/lbuild/lbuild/build"
)

const buildLong = `Build an image from a Buildfile and the files of CONTEXT.

CONTEXT is a directory, or "-" for a tar archive on stdin, plain or compressed.
The Buildfile is the first of Buildfile, Dockerfile and Containerfile in it,
unless --file names another.

Without --output the image goes to the image store. The digest of its manifest
goes to stdout, and everything else to stderr; with type=local and type=tar
alone there is no digest. "lbuild CONTEXT" is short for "lbuild build CONTEXT".

Outputs, as TYPE and its keys:
  type=image[,name=REF]              the image store
  type=oci,dest=FILE|-[,tar=false]   an OCI layout: a tar, unless tar=false
  type=docker,dest=FILE|-            an archive for "docker load"
  type=local,dest=DIR                the files of the image, in a directory
  type=tar,dest=FILE|-               the files of the image, in a tar
  type=registry[,name=REF]           push, to the registry of REF or every --tag
Those of images also take compression=, compression-level= and
force-compression=true (pack the layers of the base anew, too). "-o DIR" is
type=local, and "-o -" is type=tar on stdout.`

const buildExample = `  lbuild -t app:1.0 .
  lbuild -f docker/Buildfile --target test --build-arg GO=1.26 .
  lbuild -t registry.example/app:1.0 --push --compression zstd:9 .
  lbuild -o type=oci,dest=app.tar -t app:1.0 .
  git archive HEAD | lbuild -o out -`

// buildFlags are the flags of build as they were typed.
type buildFlags struct {
	file, target, network, shmSize         string
	platforms                              []string
	args, labels, contexts, hosts, ulimits []string
	noCache, pull, push, quiet             bool
	noCacheStages, tags, outputs           []string
	compression, whiteouts, epoch          string
	verify                                 bool
	jobs                                   int
	memoryBudget                           string
	progress                               progressMode
	imageIDFile, metadataFile              string
}

func newBuildCommand(a *app) *cobra.Command {
	f := &buildFlags{progress: progressAuto}
	cmd := &cobra.Command{
		Use:     "build [flags] CONTEXT",
		Short:   "Build an image from a Buildfile",
		Long:    buildLong,
		Example: buildExample,
		Args:    oneContext,
		RunE: func(cmd *cobra.Command, args []string) error {
			req, err := a.buildRequest(f, args[0])
			if err == nil {
				err = contextIsNoCommand(cmd.Root(), args[0])
			}
			if err != nil {
				return usage(cmd, err)
			}
			return a.build(cmd.Context(), f, req)
		},
	}
	f.register(cmd)
	return cmd
}

// oneContext wants one argument. Of several, the first may be a mistyped command.
func oneContext(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		if err := contextIsNoCommand(cmd.Root(), args[0]); err != nil {
			return usage(cmd.Root(), err)
		}
	}
	return takes(1, 1)(cmd, args)
}

// contextIsNoCommand explains a context that does not exist and looks like a mistyped command.
func contextIsNoCommand(root *cobra.Command, context string) error {
	const short = 3 // what is shorter is near to anything
	if len(context) < short || strings.ContainsRune(context, os.PathSeparator) {
		return nil
	}
	if _, err := os.Stat(context); err == nil {
		return nil
	}
	if names := root.SuggestionsFor(context); len(names) > 0 {
		return fmt.Errorf("%q is neither a command nor a directory, did you mean %q?", context, "lbuild "+names[0])
	}
	return nil
}

func (f *buildFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.SortFlags = false
	group(flags, "What to build", f.registerInput)
	group(flags, "How steps run", func(flags *pflag.FlagSet) { f.registerSteps(flags); f.registerLimits(flags) })
	group(flags, "The image and where it goes", f.registerImage)
	group(flags, "What is reported", f.registerReport)
	completeValues(cmd, "progress", progressNames()...)
	completeValues(cmd, "compression", "none", "gzip", "zstd")
	completeValues(cmd, "whiteouts", "opaque", "explicit")
	completeValues(cmd, "network", "default", "host", "none")
}

func (f *buildFlags) registerInput(flags *pflag.FlagSet) {
	flags.StringVarP(&f.file, "file", "f", "", "`path` of the Buildfile, - for stdin")
	flags.StringVar(&f.target, "target", "", "`stage` to build (default the last)")
	flags.StringArrayVar(&f.args, "build-arg", nil, "value of an ARG as `NAME=VALUE`, or NAME alone to take it from the environment; repeatable")
	flags.StringArrayVar(&f.contexts, "build-context", nil,
		"something else in place of a stage or image, as `NAME=SOURCE`: a directory, oci-layout://DIR[:TAG|@DIGEST], docker-archive://FILE or docker-image://REF; repeatable")
	flags.StringSliceVar(&f.platforms, "platform", nil, "`OS/ARCH` or OS/ARCH/VARIANT to build for; several, with commas or repeated, give one index (default this machine's)")
	flags.BoolVar(&f.pull, "pull", false, "ask the registry for every base, also for those in the store")
}

func (f *buildFlags) registerSteps(flags *pflag.FlagSet) {
	flags.BoolVar(&f.noCache, "no-cache", false, "run every step again")
	flags.StringSliceVar(&f.noCacheStages, "no-cache-filter", nil, "run the steps of this `stage` again; repeatable")
	flags.StringVar(&f.network, "network", "default", "`network` of RUN steps: host, default (the same) or none")
	flags.StringArrayVar(&f.hosts, "add-host", nil, "line for /etc/hosts of RUN steps, as `NAME:IP`; repeatable")
	flags.StringVar(&f.shmSize, "shm-size", "", "`size` of /dev/shm in RUN steps, such as 128m or 1g (default 64m)")
	flags.StringArrayVar(&f.ulimits, "ulimit", nil, "limit of the processes of RUN steps, as `NAME=SOFT[:HARD]`, such as nofile=1024; repeatable")
}

// registerLimits adds what bounds a build, and changes nothing of what comes out.
func (f *buildFlags) registerLimits(flags *pflag.FlagSet) {
	flags.IntVar(&f.jobs, "jobs", 0, "steps that run at once, as a `number` (default the larger of 4 and twice the CPUs)")
	flags.StringVar(&f.memoryBudget, "memory-budget", "",
		"`size` of the memory for all layers that are packed at once, such as 64m or 1g (default 192m)")
}

func (f *buildFlags) registerImage(flags *pflag.FlagSet) {
	flags.StringArrayVarP(&f.tags, "tag", "t", nil, "`name` of the image, with or without a tag; repeatable")
	flags.StringArrayVar(&f.labels, "label", nil, "label in the image's config, as `KEY=VALUE`; repeatable")
	flags.StringArrayVarP(&f.outputs, "output", "o", nil, "`output` as described above; repeatable")
	flags.BoolVar(&f.push, "push", false, "short for --output type=registry")
	addPackingFlags(flags, &f.compression, &f.whiteouts, &f.epoch)
	flags.BoolVar(&f.verify, "verify", false, "unpack each layer that is packed with containerd's code and compare it with the step's tree")
}

// addPackingFlags adds what decides on the bytes of layers.
func addPackingFlags(flags *pflag.FlagSet, compression, whiteouts, epoch *string) {
	flags.StringVar(compression, "compression", "gzip", "`codec` of the layers that lbuild makes: none, gzip or zstd, with a level as in zstd:9")
	flags.StringVar(whiteouts, "whiteouts", "opaque", "how a layer hides what a directory held, by `marker`: opaque (one) or explicit (one for each name)")
	flags.StringVar(epoch, "source-date-epoch", "", "Unix time in `seconds` that files of a context have, and no time in layers and image is later than (default $SOURCE_DATE_EPOCH)")
}

func (f *buildFlags) registerReport(flags *pflag.FlagSet) {
	flags.Var(&f.progress, "progress", "how stderr shows the build, as a `mode`: auto, tty, plain, json or quiet")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "print the digest, warnings and errors only")
	flags.StringVar(&f.imageIDFile, "iidfile", "", "`file` that gets the digest of the image's config")
	flags.StringVar(&f.metadataFile, "metadata-file", "", "`file` that gets digests and layers as JSON")
}

// build runs req and shows how it goes and what came out.
func (a *app) build(ctx context.Context, f *buildFlags, req build.Request) error {
	mode := f.progress
	if f.quiet {
		mode = progressQuiet
	}
	a.progress = mode
	if f.file == standardStream {
		if err := a.readBuildfile(&req); err != nil {
			return err
		}
	}
	memory, err := f.memory()
	if err != nil {
		return err
	}
	limitMemory(memory)
	return a.withBuilder(ctx, build.Options{Jobs: f.jobs, Memory: memory}, func(ctx context.Context, b *build.Builder) error {
		defer a.debugMemory(b, memory)
		shown := a.record(mode, mode != progressJSON)
		req.Events = shown.Show
		result, err := b.Build(ctx, req)
		var manifest digest.Digest
		if err == nil {
			manifest = result.Manifest.Digest
		}
		shown.finish(ctx, manifest, err)
		if err != nil {
			return a.buildFailed(ctx, mode, shown, err)
		}
		return a.printResult(f, mode, req, result)
	})
}

// buildFailed shows the end of the failed steps' output above the error, which the caller prints.
func (a *app) buildFailed(ctx context.Context, mode progressMode, shown *recorder, err error) error {
	if mode == progressJSON {
		return &reportedError{err}
	}
	if ctx.Err() == nil {
		shown.writeFailed(a.stderr)
	}
	return err
}
