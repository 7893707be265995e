package bench

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Goal is what a recommendation is for.
type Goal string

// The goals.
const (
	// Smallest takes the smallest result, and of equal ones the fastest.
	Smallest Goal = "smallest"
	// Fastest takes the highest speed of those that compress at all.
	Fastest Goal = "fastest"
	// Balanced takes the highest speed of those whose result is at most 4 % larger than the baseline's.
	Balanced Goal = "balanced"
)

// Goals lists the goals.
func Goals() []Goal { return []Goal{Smallest, Fastest, Balanced} }

// maxLarger bounds what Balanced takes, as a share of the baseline's size.
const maxLarger = 1.04

// ParseGoal reads a goal.
func ParseGoal(text string) (Goal, error) {
	for _, g := range Goals() {
		if string(g) == text {
			return g, nil
		}
	}
	return "", fmt.Errorf("goal %q is unknown (want smallest, fastest or balanced)", text)
}

// Link is the speed of a network in bits per second.
type Link float64

// ParseLink reads a number with kbit, mbit or gbit: 1 mbit is a million bits per second.
func ParseLink(text string) (Link, error) {
	for _, unit := range linkUnits() {
		number, ok := strings.CutSuffix(strings.ToLower(text), unit.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(number, 64)
		if err != nil || n <= 0 || math.IsInf(n, 0) || math.IsNaN(n) {
			break
		}
		return Link(n * unit.bits), nil
	}
	return 0, fmt.Errorf("link %q: want a number above 0 with kbit, mbit or gbit, as in 100mbit", text)
}

type linkUnit struct {
	name string
	bits float64
}

func linkUnits() []linkUnit { return []linkUnit{{"kbit", 1e3}, {"mbit", 1e6}, {"gbit", 1e9}} }

// String is l as ParseLink reads it.
func (l Link) String() string {
	unit := linkUnits()[0]
	for _, u := range linkUnits() {
		if float64(l) >= u.bits {
			unit = u
		}
	}
	return strconv.FormatFloat(float64(l)/unit.bits, 'g', -1, 64) + unit.name
}

// Finish is how many seconds after the start r would be at the other end of l, when what is compressed is sent at once:
// the longer of the time to compress and the time to send.
func (r *Result) Finish(l Link) float64 {
	return max(r.Wall.Median, 8*float64(r.Size)/float64(l))
}

// Choice is a recommendation for one input.
type Choice struct {
	Input  string
	For    string // the goal or the link
	Result Result
	Why    string // a sentence without a full stop
}

// String is the choice as a line.
func (c Choice) String() string {
	return fmt.Sprintf("%s, %s: %s (%s)", c.Input, c.For, c.Result.Label(), c.Why)
}

// Recommend chooses for a goal: one candidate for each input, in their order.
func (r *Report) Recommend(g Goal) []Choice {
	return r.choose(string(g), func(results []Result) (Result, string) {
		best := results[0]
		found := false
		for _, x := range results {
			if g.admits(x) && (!found || g.prefers(x, best)) {
				best, found = x, true
			}
		}
		return best, best.facts()
	})
}

// admits reports whether x may be chosen at all.
func (g Goal) admits(x Result) bool {
	switch g {
	case Fastest:
		return x.Codec != None
	case Balanced:
		return x.SizeRatio <= maxLarger
	}
	return true
}

// prefers reports whether x is better than y.
func (g Goal) prefers(x, y Result) bool {
	if g == Smallest && x.Size != y.Size {
		return x.Size < y.Size
	}
	return x.Wall.Median < y.Wall.Median
}

func (r *Result) facts() string {
	return fmt.Sprintf("%.1f%% of the input at %.0f MB/s", 100*r.Ratio, r.Speed)
}

// RecommendLink chooses what is at the other end of a network first, for each input, in their order. Of two that take as
// long the one with less CPU time wins.
func (r *Report) RecommendLink(l Link) []Choice {
	return r.choose("link of "+l.String(), func(results []Result) (Result, string) {
		best := results[0]
		for _, x := range results[1:] {
			if x.Finish(l) < best.Finish(l) || x.Finish(l) == best.Finish(l) && x.CPU.Median < best.CPU.Median {
				best = x
			}
		}
		send := 8 * float64(best.Size) / float64(l)
		return best, fmt.Sprintf("there after %.2f s: %.2f s to compress, meanwhile %.2f s to send", best.Finish(l), best.Wall.Median, send)
	})
}

func (r *Report) choose(purpose string, best func([]Result) (Result, string)) []Choice {
	var choices []Choice
	for _, in := range r.Inputs {
		results := r.Of(in.Name)
		if len(results) == 0 {
			continue
		}
		result, why := best(results)
		choices = append(choices, Choice{Input: in.Name, For: purpose, Result: result, Why: why})
	}
	return choices
}
