package run

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Exit statuses of commands that never ran, as shells and docker have them.
const (
	statusNotExecutable = 126
	statusNotFound      = 127
	statusSignal        = 128 // plus the signal's number
)

// ExitError says that a command ended, or could not be started, with a status
// other than 0.
type ExitError struct {
	// Code is the exit status: 128 plus the number for one killed by a signal,
	// 127 for one that was not found, 126 for one that cannot be executed.
	Code int
	// Reason is the runtime's explanation where the command never ran, else "".
	Reason string
}

func (e *ExitError) Error() string {
	if e.Reason != "" {
		return e.Reason
	}
	if name := unix.SignalName(unix.Signal(e.Code - statusSignal)); name != "" {
		return fmt.Sprintf("exit status %d (%s)", e.Code, name)
	}
	return fmt.Sprintf("exit status %d", e.Code)
}

// failure tells a command that failed from a container that never started:
// the runtime writes the pid file only once the command runs.
func (r Runtime) failure(b bundle, status int, runErr error) error {
	if _, err := os.Stat(b.pidFile()); err == nil {
		return &ExitError{Code: status}
	}
	reason := lastError(b.log())
	if reason == "" {
		return fmt.Errorf("%s: %w", r.Path, runErr)
	}
	reason = shorten(reason)
	if code := notExecuted(reason); code != 0 {
		return &ExitError{Code: code, Reason: reason}
	}
	return fmt.Errorf("start container: %s%s", reason, r.advice(reason))
}

// maxLog bounds what is read of the runtime's log, maxLogLine one line of it.
const (
	maxLog     = 1 << 20
	maxLogLine = 64 << 10
)

// lastError returns the last message of level error in a JSON log, or "".
func lastError(log string) string {
	f, err := os.Open(log)
	if err != nil {
		return ""
	}
	defer f.Close()
	last := ""
	lines := bufio.NewScanner(io.LimitReader(f, maxLog))
	lines.Buffer(nil, maxLogLine)
	for lines.Scan() {
		var entry struct{ Level, Msg string }
		if json.Unmarshal(lines.Bytes(), &entry) == nil && entry.Level == "error" {
			last = entry.Msg
		}
	}
	return last
}

// shorten drops the layers of a runtime's message that say nothing to a user.
func shorten(msg string) string {
	for _, layer := range []string{
		"runc run failed: ", "unable to start container process: ", "error during container init: ",
	} {
		msg = strings.TrimPrefix(msg, layer)
	}
	return strings.TrimSpace(msg)
}

// notExecuted returns 126 or 127 where the command itself is at fault, else 0.
// Runtimes report this in words only.
func notExecuted(reason string) int {
	lower := strings.ToLower(reason)
	if !strings.HasPrefix(lower, "exec") && !strings.HasPrefix(lower, "open executable") {
		return 0
	}
	for _, words := range []string{"not found", "no such file"} {
		if strings.Contains(lower, words) {
			return statusNotFound
		}
	}
	return statusNotExecutable
}

// advice adds what to do about the failures that a machine's set-up causes.
func (r Runtime) advice(reason string) string {
	lower := strings.ToLower(reason)
	switch {
	case strings.Contains(lower, "seccomp not supported"):
		return fmt.Sprintf(" (%s was built without seccomp: build runc with -tags seccomp, as `make build` does)", r.Path)
	case strings.Contains(lower, "cgroup"):
		return " (lbuild needs to be root with a writable cgroup file system at /sys/fs/cgroup)"
	}
	return ""
}
