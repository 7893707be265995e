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
	return max(r.Wall.Median, l.seconds(r.Size))
}

// seconds is how long so many bytes take.
func (l Link) seconds(size int64) float64 { return 8 * float64(size) / float64(l) }

// Choice is a recommendation for one input.
type Choice struct {
	Input string
	For   string // the goal or the link
	Best  Result
	// Own is the best of what builds can pack with, which may be Best; nil if none of that was measured.
	Own *Result
	// OwnMemory is the memory budget in bytes that builds need for as many workers as Own had. 0: their default will do.
	OwnMemory int64
	// BestWhy and OwnWhy are what speaks for them, in a few words.
	BestWhy, OwnWhy string
}

// String is the choice as a line or two.
func (c Choice) String() string {
	text := fmt.Sprintf("%s, %s: %s (%s)", c.Input, c.For, c.Best.Label(), c.BestWhy)
	if c.Own == nil {
		return text
	}
	flag := "--compression " + strings.TrimPrefix(c.Own.Codec, ownPrefix)
	if c.OwnMemory > 0 {
		flag += fmt.Sprintf(" --memory-budget %dm", (c.OwnMemory+mebibyte-1)/mebibyte)
	}
	if c.Own.Label() == c.Best.Label() {
		return text + ", in builds " + flag
	}
	return text + fmt.Sprintf("\n    in builds: %s (%s)", flag, c.OwnWhy)
}

// ownPrefix begins the names of the codecs that builds use; None is another.
const ownPrefix = "lbuild/"

func (r *Result) isOwn() bool { return r.Codec == None || strings.HasPrefix(r.Codec, ownPrefix) }

// Recommend chooses for a goal: one candidate for each input, in their order.
func (r *Report) Recommend(g Goal) []Choice {
	facts := func(x Result) string { return fmt.Sprintf("%.1f%% of the input at %.0f MB/s", 100*x.Ratio, x.Speed) }
	return r.choose(string(g), g.admits, g.prefers, facts)
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

// RecommendLink chooses what is at the other end of a network first, for each input, in their order. Of two that take as
// long the one with less CPU time wins.
func (r *Report) RecommendLink(l Link) []Choice {
	all := func(Result) bool { return true }
	sooner := func(x, y Result) bool {
		return x.Finish(l) < y.Finish(l) || x.Finish(l) == y.Finish(l) && x.CPU.Median < y.CPU.Median
	}
	facts := func(x Result) string {
		return fmt.Sprintf("there after %.2f s: %.2f s to compress, %.2f s to send", x.Finish(l), x.Wall.Median, l.seconds(x.Size))
	}
	return r.choose("link of "+l.String(), all, sooner, facts)
}

func (r *Report) choose(purpose string, admits func(Result) bool, better func(x, y Result) bool, facts func(Result) string) []Choice {
	var choices []Choice
	for _, in := range r.Inputs {
		best := first(r.Of(in.Name), admits, better)
		if best == nil {
			continue
		}
		c := Choice{Input: in.Name, For: purpose, Best: *best, BestWhy: facts(*best)}
		c.Own = first(r.Of(in.Name), func(x Result) bool { return x.isOwn() && admits(x) }, better)
		if c.Own != nil {
			c.OwnWhy = facts(*c.Own)
			c.OwnMemory = c.Own.budget(r.Machine.Cores)
		}
		choices = append(choices, c)
	}
	return choices
}

// first is the best of those that are admitted, and the first of equal ones; nil if there are none.
func first(results []Result, admits func(Result) bool, better func(x, y Result) bool) *Result {
	var best *Result
	for i := range results {
		if admits(results[i]) && (best == nil || better(results[i], *best)) {
			best = &results[i]
		}
	}
	return best
}
