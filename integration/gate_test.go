package integration

import (
	"net"
	"testing"
	"time"
)

// gate is where a step waits until the test lets it go on, so that the test does not depend on how fast the machine is.
type gate struct {
	t  testing.TB
	at *net.TCPListener
}

// patience is how long the other side is waited for.
const patience = time.Minute

func newGate(t testing.TB) gate {
	t.Helper()
	at, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = at.Close() })
	return gate{t, at}
}

// wait is the shell command of a RUN that waits at the gate, over the host's network, and fails if nobody opens it.
func (g gate) wait() string {
	host, port, _ := net.SplitHostPort(g.at.Addr().String())
	return "test \"$(nc " + host + " " + port + " </dev/null)\" = go"
}

// accept returns when a step waits, with what lets it go on.
func (g gate) accept() (open func(), err error) {
	if err := g.at.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	conn, err := g.at.Accept()
	if err != nil {
		return nil, err
	}
	return func() {
		_, _ = conn.Write([]byte("go\n")) // a step that is gone shows in the build
		_ = conn.Close()
	}, nil
}

// arrived is accept for the test's own goroutine.
func (g gate) arrived() (open func()) {
	g.t.Helper()
	open, err := g.accept()
	if err != nil {
		g.t.Fatalf("no step came to the gate: %v", err)
	}
	return open
}

// openWhen lets the next step go on as soon as done says so, and else in the end: the test sees what is not as it should be.
func (g gate) openWhen(done func() bool) {
	go func() {
		open, err := g.accept()
		if err != nil {
			return // so did no step, and the build has failed
		}
		defer open()
		for end := time.Now().Add(patience); !done() && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		}
	}()
}
