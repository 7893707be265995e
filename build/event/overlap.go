package event

import "time"

// Work is how long one kind of work took, and how much of it cost no time because steps ran meanwhile.
type Work struct {
	// Seconds is the time in which at least one piece of the work was on its way: two at once count once.
	Seconds float64 `json:"seconds"`
	// Hidden is the part of Seconds in which at least one step ran, too. One that packs its own layer, or waits to, is no
	// such step: it does nothing else.
	Hidden float64 `json:"hidden_seconds"`
}

// overlap learns from the events of a build when steps run, layers are packed and blobs are pushed. Waiting for a turn
// is none of the three. Its zero value is ready.
type overlap struct {
	at      time.Time // of the last event
	steps   map[string]bool
	layers  int
	blobs   map[string]bool
	packing Work
	pushing Work
}

// note takes an event up. Events come in the order of their times.
func (o *overlap) note(e Event) {
	switch e.Type {
	case Step, Pack, Push:
	default:
		return
	}
	o.pass(e.Time)
	switch {
	case e.Type == Step:
		mark(&o.steps, e.ID, e.State == Started)
	case e.Type == Pack && e.State == Started:
		o.layers++
	case e.Type == Pack:
		o.layers--
	case e.Digest != "":
		mark(&o.blobs, e.Name+" "+e.Digest, e.State == Started)
	}
}

// pass counts the time since the last event.
func (o *overlap) pass(now time.Time) {
	took := now.Sub(o.at).Seconds()
	o.at = now
	if o.layers > 0 {
		o.packing.add(took, len(o.steps) > 0)
	}
	if len(o.blobs) > 0 {
		o.pushing.add(took, len(o.steps) > 0)
	}
}

// packsItself takes up that a step does nothing but pack its layer until it ends, or wait to.
func (o *overlap) packsItself(step string, now time.Time) {
	o.pass(now)
	mark(&o.steps, step, false)
}

func (w *Work) add(seconds float64, hidden bool) {
	w.Seconds += seconds
	if hidden {
		w.Hidden += seconds
	}
}

// mark puts a name into a set, or takes it out.
func mark(set *map[string]bool, name string, in bool) {
	if *set == nil {
		*set = map[string]bool{}
	}
	if in {
		(*set)[name] = true
	} else {
		delete(*set, name)
	}
}
