// SPDX-License-Identifier: Apache-2.0

package origin

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/template"
	"text/template/parse"
	"time"
)

// A tag template comes from the container's author, and its execution cannot be interrupted. Its tree is therefore checked
// first: only text, fields, and functions with bounded results are allowed; loops and templates that call others are not.
const (
	maxTemplate = 4 << 10 // bytes of the template's text
	maxNodes    = 256     // of its tree
)

// templateFunctions are the engine's functions (moby daemon/logger/templates) that a template may call, besides the
// built-in index and slice.
var templateFunctions = template.FuncMap{
	"join":  join,
	"lower": strings.ToLower,
	"upper": strings.ToUpper,
}

// templateFields are the names that may follow the first dot in a template (moby daemon/logger/loginfo.go).
var templateFields = []string{
	"Command", "ContainerArgs", "ContainerCreated", "ContainerEntrypoint", "ContainerEnv", "ContainerID", "ContainerImageID",
	"ContainerImageName", "ContainerLabels", "ContainerName", "DaemonName", "ExtraAttributes", "FullID", "ID", "ImageFullID",
	"ImageID", "ImageName", "Name",
}

const templateHelp = "a template may use fields such as .Name and .ID, (.ExtraAttributes nil).KEY, and the functions index, slice, join, lower and upper"

var errLong = fmt.Errorf("the result has more than %d bytes", MaxAttribute)

// tag executes a template as the engine does, except that a missing label or variable is empty. extra holds the container's
// ExtraAttributes.
func (c Container) tag(text string, extra map[string]string) (string, error) {
	if len(text) > maxTemplate {
		return "", fmt.Errorf("the template has %d bytes; at most %d are allowed", len(text), maxTemplate)
	}
	t, err := template.New("tag").Option("missingkey=zero").Funcs(templateFunctions).Parse(text)
	if err != nil {
		return "", err
	}
	if len(t.Templates()) > 1 {
		return "", errors.New("define and block are not allowed: " + templateHelp)
	}
	if t.Tree == nil {
		return "", nil // nothing but a comment
	}
	nodes := 0
	if err := checkNode(t.Root, &nodes); err != nil {
		return "", err
	}
	var b limitedBuffer
	if err := t.Execute(&b, labelled{c, extra}); err != nil {
		return "", reasonOf(err)
	}
	return b.String(), nil
}

// reasonOf returns an error for err that quotes none of the container's values.
func reasonOf(err error) error {
	if errors.Is(err, errLong) {
		return errLong
	}
	return errors.New("it fails for this container: an index is out of range, or a function has an argument that does not fit")
}

// checkNode returns an error if node, or a node below it, is not allowed.
func checkNode(node parse.Node, nodes *int) error {
	if *nodes++; *nodes > maxNodes {
		return fmt.Errorf("the template has more than %d elements", maxNodes)
	}
	var below []parse.Node
	switch n := node.(type) {
	case *parse.ListNode:
		below = n.Nodes
	case *parse.ActionNode:
		below = append(below, n.Pipe)
	case *parse.PipeNode:
		if len(n.Decl) > 0 {
			return errors.New("variables are not allowed: " + templateHelp)
		}
		for _, c := range n.Cmds {
			below = append(below, c)
		}
	case *parse.CommandNode:
		below = n.Args
	case *parse.ChainNode:
		below = append(below, n.Node)
	case *parse.FieldNode:
		if !slices.Contains(templateFields, n.Ident[0]) {
			return fmt.Errorf("there is no field .%s", n.Ident[0])
		}
	case *parse.IdentifierNode:
		if _, ok := templateFunctions[n.Ident]; !ok && n.Ident != "index" && n.Ident != "slice" {
			return fmt.Errorf("the function %s is not allowed: %s", n.Ident, templateHelp)
		}
	case *parse.TextNode, *parse.StringNode, *parse.NumberNode, *parse.NilNode, *parse.BoolNode, *parse.CommentNode:
	default: // range, if, with, template, break, continue, the bare dot, variables
		return fmt.Errorf("%.40q is not allowed: %s", node.String(), templateHelp)
	}
	for _, n := range below {
		if err := checkNode(n, nodes); err != nil {
			return err
		}
	}
	return nil
}

// limitedBuffer refuses more than MaxAttribute bytes.
type limitedBuffer struct{ bytes.Buffer }

func (b *limitedBuffer) Write(p []byte) (int, error) {
	if b.Len()+len(p) > MaxAttribute {
		return 0, errLong
	}
	return b.Buffer.Write(p)
}

// join is strings.Join with a bounded result, since nested joins multiply sizes.
func join(list []string, separator string) (string, error) {
	size := len(separator) * max(0, len(list)-1)
	for _, s := range list {
		size += len(s)
	}
	if size > MaxAttribute {
		return "", errLong
	}
	return strings.Join(list, separator), nil
}

// shortID is the number of digits in the short form of an ID.
const shortID = 12

// labelled gives templates access to a container under the names in the engine's documentation.
type labelled struct {
	c     Container
	extra map[string]string
}

func (l labelled) ID() string          { return l.c.ID[:min(len(l.c.ID), shortID)] }
func (l labelled) FullID() string      { return l.c.ID }
func (l labelled) Name() string        { return strings.TrimPrefix(l.c.Name, "/") }
func (l labelled) ImageName() string   { return l.c.ImageName }
func (l labelled) ImageFullID() string { return l.c.ImageID }
func (l labelled) DaemonName() string  { return l.c.Daemon }

func (l labelled) ImageID() string {
	id := strings.TrimPrefix(l.c.ImageID, "sha256:")
	return id[:min(len(id), shortID)]
}

func (l labelled) Command() string {
	return strings.TrimSpace(l.c.Entry + " " + strings.Join(l.c.Args, " "))
}

// ExtraAttributes returns the pairs that the options labels and env select. The argument, which renames keys in the engine's
// own drivers, can only be nil in a template.
func (l labelled) ExtraAttributes(func(string) string) map[string]string { return l.extra }

func (l labelled) ContainerArgs() []string            { return l.c.Args }
func (l labelled) ContainerCreated() time.Time        { return l.c.Created }
func (l labelled) ContainerEntrypoint() string        { return l.c.Entry }
func (l labelled) ContainerEnv() []string             { return l.c.Env }
func (l labelled) ContainerID() string                { return l.c.ID }
func (l labelled) ContainerName() string              { return l.c.Name }
func (l labelled) ContainerImageName() string         { return l.c.ImageName }
func (l labelled) ContainerImageID() string           { return l.c.ImageID }
func (l labelled) ContainerLabels() map[string]string { return l.c.Labels }
