package buildfile

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/command"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/util/suggest"
)

// support says what lbuild does about a flag.
type support int

const (
	unknown support = iota // not in the language
	works
	pending // in the language, refused by lbuild until it is done
)

// flags has every flag of the language. To lift a restriction, change its word here.
var flags = map[string]map[string]support{
	command.Add: {
		"chown": works, "chmod": works,
		"link": pending, "exclude": pending, "keep-git-dir": pending, "checksum": pending, "unpack": pending,
	},
	command.Copy: {
		"chown": works, "chmod": works, "from": works,
		"link": pending, "exclude": pending, "parents": pending,
	},
	command.From: {"platform": works},
	command.Healthcheck: {
		"interval": works, "timeout": works, "start-period": works, "start-interval": works, "retries": works,
	},
	command.Run: {"network": works, "mount": pending, "security": pending, "device": pending},
}

// checkNode refuses instructions and flags that are unknown or not supported yet, also below ONBUILD.
// place makes the error; its word is the culprit as written in the node it gets.
func checkNode(node *parser.Node, place func(node *parser.Node, word string, err error) error) error {
	name := strings.ToLower(node.Value)
	if _, ok := command.Commands[name]; !ok {
		return place(node, node.Value, unknownWord("instruction", node.Value, instructionNames(), ""))
	}
	for _, flag := range node.Flags {
		if flag == "--" {
			break
		}
		word, _, _ := strings.Cut(flag, "=")
		if err := checkFlag(name, strings.TrimPrefix(word, "--")); err != nil {
			return place(node, word, err)
		}
	}
	if trigger := triggerOf(node); trigger != nil {
		if isTriggerless(trigger.Value) {
			return place(trigger, trigger.Value, fmt.Errorf("%s cannot be an ONBUILD trigger", strings.ToUpper(trigger.Value)))
		}
		return checkNode(trigger, place)
	}
	return nil
}

func checkFlag(instruction, flag string) error {
	switch flags[instruction][flag] {
	case works:
		return nil
	case pending:
		return fmt.Errorf("%s --%s is not supported yet", strings.ToUpper(instruction), flag)
	}
	var names []string
	for name := range flags[instruction] {
		names = append(names, name)
	}
	return unknownWord(strings.ToUpper(instruction)+" flag", "--"+flag, names, "--")
}

func triggerOf(node *parser.Node) *parser.Node {
	if strings.EqualFold(node.Value, command.Onbuild) && node.Next != nil && len(node.Next.Children) == 1 {
		return node.Next.Children[0]
	}
	return nil
}

func isTriggerless(instruction string) bool {
	return slices.Contains([]string{command.Onbuild, command.From, command.Maintainer}, strings.ToLower(instruction))
}

func instructionNames() []string {
	var names []string
	for name := range command.Commands {
		names = append(names, strings.ToUpper(name))
	}
	return names
}

// unknownWord names the word and the one that was probably meant. Prefix is what all words begin with.
func unknownWord(kind, word string, known []string, prefix string) error {
	slices.Sort(known) // the first of two equally near names wins
	meant, ok := suggest.Search(strings.TrimPrefix(word, prefix), known, false)
	if !ok {
		return fmt.Errorf("unknown %s %q", kind, word)
	}
	return fmt.Errorf("unknown %s %q, did you mean %s%s?", kind, word, prefix, meant)
}

// Check refuses what a command asks for that lbuild cannot do and that only its words tell, such as an ADD of a URL.
// Parse and Expand have called it; call it again after changing a command's words otherwise.
func (f *File) Check(cmd instructions.Command) error {
	switch cmd := cmd.(type) {
	case *instructions.AddCommand:
		err := errors.New("ADD of a URL or git repository is not supported yet")
		return f.checkSources(cmd, cmd.SourcePaths, err)
	case *instructions.CopyCommand:
		err := errors.New("COPY cannot read a URL or git repository")
		return f.checkSources(cmd, cmd.SourcePaths, err)
	}
	return nil
}

func (f *File) checkSources(cmd instructions.Command, sources []string, err error) error {
	for _, source := range sources {
		if remote.MatchString(source) {
			return f.At(cmd.Location(), source, err)
		}
	}
	return nil
}

// remote matches the sources that ADD fetches: web addresses, git addresses and user@host:path.
var remote = regexp.MustCompile(`^((?i:https?|git|ssh)://|[a-zA-Z0-9_-]+@[a-zA-Z0-9.-]+:)`)
