package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
)

// The passes of a child process.
const (
	passPack   = "pack"
	passUnpack = "unpack"
)

// Child does one pass in a process that Run has started with Options.Child, so that its time and memory are its own.
// Args are what Run put behind the command line. It reads in, writes out, and tells its Cost to outcome, which is file
// descriptor 3 of the process.
func Child(ctx context.Context, args []string, in io.Reader, out, outcome io.Writer) error {
	if len(args) != 3 {
		return fmt.Errorf("got %d arguments, want pack|unpack CODEC WORKERS", len(args))
	}
	codecs, err := ParseCodecs(args[1])
	if err != nil {
		return err
	}
	workers, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	e, err := codecs[0].engine()
	if err != nil {
		return err
	}
	var cost Cost
	switch {
	case e.program != nil:
		err = errors.New("a program needs no child")
	case args[0] == passPack:
		cost, err = e.pack(ctx, in, out, workers)
	case args[0] == passUnpack:
		cost, err = e.unpack(ctx, in, io.Discard)
	default:
		err = fmt.Errorf("pass %q is unknown", args[0])
	}
	if err != nil {
		return err
	}
	cost.Memory = ownPeak()
	return json.NewEncoder(outcome).Encode(cost)
}

// runChild runs a pass in a process of its own.
func runChild(ctx context.Context, command []string, in, out *os.File, args ...string) (Cost, error) {
	outcome, told, err := os.Pipe()
	if err != nil {
		return Cost{}, err
	}
	defer outcome.Close()
	cmd := exec.CommandContext(ctx, command[0], append(command[1:len(command):len(command)], args...)...)
	var complaint bytes.Buffer
	cmd.Stdin, cmd.Stderr, cmd.ExtraFiles = in, &complaint, []*os.File{told}
	if out != nil {
		cmd.Stdout = out
	}
	apart(cmd)
	err = errors.Join(cmd.Start(), told.Close())
	if err != nil {
		return Cost{}, err
	}
	var cost Cost
	decodeErr := json.NewDecoder(outcome).Decode(&cost)
	if err := cmd.Wait(); err != nil {
		if ctx.Err() != nil {
			return Cost{}, context.Cause(ctx)
		}
		return Cost{}, fmt.Errorf("%w: %s", err, bytes.TrimSpace(complaint.Bytes()))
	}
	return cost, decodeErr
}
