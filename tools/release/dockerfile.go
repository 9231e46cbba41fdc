// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// A recipe is what a Dockerfile makes of its context.
type recipe struct {
	files  tree
	config v1.Config
}

// readDockerfile follows the instructions of our own Dockerfiles, so that an image is described in one place, without a
// Docker engine, whose layers contain the time at which they were made. It knows FROM scratch, COPY, ARG, ENV, USER and
// ENTRYPOINT; anything else is an error.
func readDockerfile(text, context string, args map[string]string) (*recipe, error) {
	d := dockerfile{context: context, given: args, args: map[string]string{}, recipe: recipe{files: make(tree)}}
	d.recipe.config.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"} // as Docker sets it
	for n, line := range strings.Split(text, "\n") {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		instruction, rest, _ := strings.Cut(line, " ")
		if err := d.follow(instruction, strings.TrimSpace(rest)); err != nil {
			return nil, fmt.Errorf("line %d of the Dockerfile: %w", n+1, err)
		}
	}
	return &d.recipe, nil
}

type dockerfile struct {
	context string
	given   map[string]string // arguments of the build
	args    map[string]string // those that are declared
	recipe  recipe
}

func (d *dockerfile) follow(instruction, rest string) error {
	config := &d.recipe.config
	switch instruction {
	case "FROM":
		if rest != "scratch" {
			return fmt.Errorf("FROM %s: only scratch can be built reproducibly", rest)
		}
	case "COPY":
		return d.copy(strings.Fields(rest))
	case "ARG":
		name, value, _ := strings.Cut(rest, "=")
		if given, ok := d.given[name]; ok {
			value = given
		}
		d.args[name] = value
	case "ENV":
		name, value, ok := strings.Cut(rest, "=")
		if !ok || strings.ContainsAny(value, " \"'") {
			return fmt.Errorf("ENV %s: want NAME=VALUE without quotes", rest)
		}
		value = os.Expand(value, func(arg string) string { return d.args[arg] })
		config.Env = append(config.Env, name+"="+value)
	case "USER":
		config.User = rest
	case "ENTRYPOINT":
		return json.Unmarshal([]byte(rest), &config.Entrypoint)
	default:
		return fmt.Errorf("%s is not known", instruction)
	}
	return nil
}

// copy follows COPY [--chown=UID:GID] SOURCE… DESTINATION. Of a directory, the content is copied; several sources, or a
// destination that ends in a slash, are put into it.
func (d *dockerfile) copy(words []string) (err error) {
	var uid, gid int
	if len(words) > 0 && strings.HasPrefix(words[0], "--") {
		user, group, ok := strings.Cut(strings.TrimPrefix(words[0], "--chown="), ":")
		if uid, err = strconv.Atoi(user); err != nil || !ok {
			return fmt.Errorf("COPY %s: want --chown=UID:GID, in numbers", words[0])
		}
		if gid, err = strconv.Atoi(group); err != nil {
			return fmt.Errorf("COPY %s: want --chown=UID:GID, in numbers", words[0])
		}
		words = words[1:]
	}
	if len(words) < 2 {
		return fmt.Errorf("COPY %s: want sources and a destination", strings.Join(words, " "))
	}
	sources, to := words[:len(words)-1], words[len(words)-1]
	into := len(sources) > 1 || strings.HasSuffix(to, "/")
	for _, source := range slices.Sorted(slices.Values(sources)) {
		from, at := filepath.Join(d.context, source), strings.Trim(to, "/")
		info, err := os.Stat(from)
		if err != nil {
			return err
		}
		if into && !info.IsDir() {
			at = path.Join(at, path.Base(source))
		}
		if err := d.recipe.files.add(from, at, uid, gid); err != nil {
			return err
		}
	}
	return nil
}
