// SPDX-License-Identifier: Apache-2.0

package declare

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// A declaration may use variables of the container's environment: as tags (tags_from) and as $(NAME), which Kubernetes expands
// in a container's env, but not in labels and annotations. An environment holds secrets, and that of a sidecar is Remora's
// own. So a variable that is a setting of Remora, or whose name is like a secret's, is never used, and annotations, which
// others may write, can use only the variables allowed for them.

// secretWords are words that mark a variable as a secret anywhere in its name.
var secretWords = []string{"PASSWORD", "PASSWD", "PASSPHRASE", "TOKEN", "SECRET", "KEY", "CREDENTIAL"}

// shortSecretWords do so only as a whole word: BYPASS and AUTHOR are not secrets.
var shortSecretWords = []string{"PASS", "PWD", "AUTH", "CREDS", "CRED", "DSN"}

// DefaultTagsFrom is the default of the variables that annotations may use.
var DefaultTagsFrom = []string{"POD_*", "NODE_NAME", "HOST_IP"}

// WithVariables returns a dialect that refuses the variables in protected and, in annotations, those that match no pattern of
// allowed.
func (d *Dialect) WithVariables(protected, allowed []string) *Dialect {
	with := *d
	with.protected = make(map[string]bool, len(protected))
	for _, name := range protected {
		with.protected[name] = true
	}
	with.allowed = allowed
	return &with
}

// variables is the environment of one Read.
type variables struct {
	dialect *Dialect
	env     []string
	values  map[string]string // of env, made at the first lookup
	hide    bool              // show $(NAME) instead of the value
}

// lookup returns the value of a variable. Of equal names the last wins.
func (v *variables) lookup(name string) (string, bool) {
	if v.values == nil {
		v.values = make(map[string]string, len(v.env))
		for _, variable := range v.env {
			if name, value, ok := strings.Cut(variable, "="); ok {
				v.values[name] = value
			}
		}
	}
	value, ok := v.values[name]
	return value, ok
}

// errUnset is the error of a variable that is not set.
var errUnset = errors.New("is not set in the container's environment")

// get returns the value of a variable that e uses, or an error if e may not use it.
func (v *variables) get(e *entry, name string) (string, error) {
	switch {
	case v.dialect.protected[name] || strings.HasPrefix(name, "REMORA_"):
		return "", fmt.Errorf("the variable %s is a setting of Remora and is never used", name)
	case isSecretName(name):
		return "", fmt.Errorf("the variable %s is called like a secret and is never used", name)
	case e.annotation && !v.dialect.allows(name):
		return "", fmt.Errorf("annotations may not use the variable %s; REMORA_TAGS_FROM lists those that they may", name)
	}
	value, ok := v.lookup(name)
	if !ok {
		return "", fmt.Errorf("the variable %s %w", name, errUnset)
	}
	return value, nil
}

func (d *Dialect) allows(name string) bool {
	return slices.ContainsFunc(d.allowed, func(pattern string) bool {
		ok, err := path.Match(pattern, name)
		return ok && err == nil
	})
}

func isSecretName(name string) bool {
	upper := strings.ToUpper(name)
	for word := range strings.FieldsFuncSeq(upper, func(c rune) bool { return c == '_' || c == '-' || c == '.' }) {
		if slices.Contains(shortSecretWords, word) {
			return true
		}
	}
	return slices.ContainsFunc(secretWords, func(word string) bool { return strings.Contains(upper, word) })
}

// isVariable reports whether name is a valid name of a variable.
func isVariable(name string) bool {
	for i := range len(name) {
		if c := name[i]; !isNameByte(c) && c != '.' || i == 0 && '0' <= c && c <= '9' {
			return false
		}
	}
	return name != ""
}

// expand replaces each $(NAME) in text by insert's result for the variable's value. It does not expand the result again.
// $$(NAME) stands for $(NAME), as in Kubernetes. A variable that is not set stays as it is written and is returned in unset.
func (v *variables) expand(e *entry, text string, insert func(value string) (string, error)) (expanded string, unset []string, err error) {
	if !strings.Contains(text, "$(") {
		return text, nil, nil
	}
	var b strings.Builder
	for {
		at := strings.Index(text, "$(")
		if at < 0 {
			break
		}
		name, rest, closed := strings.Cut(text[at+2:], ")")
		switch {
		case at > 0 && text[at-1] == '$':
			b.WriteString(text[:at-1] + "$(")
			text = text[at+2:]
			continue
		case !closed || !isVariable(name):
			b.WriteString(text[:at+2])
			text = text[at+2:]
			continue
		}
		value, err := v.get(e, name)
		switch {
		case errors.Is(err, errUnset):
			unset = append(unset, name)
			value = "$(" + name + ")"
		case err != nil:
			return "", nil, err
		default:
			if value, err = insert(value); err != nil {
				return "", nil, fmt.Errorf("the variable %s: %w", name, err)
			}
		}
		if b.Len()+at+len(value) > maxTagsBytes {
			return "", nil, fmt.Errorf("with its variables the value has more than %d bytes", maxTagsBytes)
		}
		b.WriteString(text[:at] + value)
		text = rest
	}
	b.WriteString(text)
	return b.String(), unset, nil
}

// What a variable may hold depends on where it is inserted: in a path it is neither a pattern nor climbs out of a directory,
// and in a target it is not a path.

func inPath(value string) (string, error) {
	if slices.Contains(strings.Split(value, "/"), "..") || hasControl(value) {
		return "", errors.New("its value can't be a part of a path")
	}
	var b strings.Builder
	for i := range len(value) {
		if strings.IndexByte(`\*?[]{},!`, value[i]) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(value[i])
	}
	return b.String(), nil
}

func inTarget(value string) (string, error) {
	if strings.Contains(value, "/") || hasControl(value) {
		return "", errors.New("its value can't be a part of a target")
	}
	return value, nil
}

func inTag(value string) (string, error) { return value, nil }

// expandEntries replaces variables in the source, the target and the tags.
func (dr *draft) expandEntries(v *variables) {
	for i := range dr.entries {
		e := &dr.entries[i]
		insert := inTag
		switch {
		case e.path == "":
			insert = inPath
		case e.path == "target":
			insert = inTarget
		case e.path != "tags" && !strings.HasPrefix(e.path, "tags."):
			continue
		}
		value, unset, err := v.expand(e, e.value, insert)
		if err != nil {
			dr.refuse(*e, err.Error())
			continue
		}
		for _, name := range unset {
			dr.warn(*e, "$("+name+") stays as it is: the variable "+errUnset.Error())
		}
		if v.hide && value != e.value {
			e.written = e.value
		}
		e.value = value
	}
}

// tagsFrom adds the variables in tags_from as tags: VARIABLE:tag, or just VARIABLE. A variable that is not set adds nothing.
func (dr *draft) tagsFrom(d *Declaration, v *variables) {
	e, ok := dr.get("tags_from")
	if !ok {
		return
	}
	for _, element := range SplitList(e.value) {
		name, tag, renamed := strings.Cut(element, ":")
		if name, tag = strings.TrimSpace(name), strings.TrimSpace(tag); !renamed {
			tag = name
		}
		if !isVariable(name) || tag == "" {
			dr.refuse(e, quote(element)+" is not of the form VARIABLE or VARIABLE:tag")
			return
		}
		value, err := v.get(&e, name)
		switch {
		case errors.Is(err, errUnset):
			dr.warn(e, err.Error()+": the tag "+quote(tag)+" is left out")
		case err != nil:
			dr.refuse(e, err.Error())
			return
		default:
			if v.hide {
				value = "$(" + name + ")"
			}
			if _, declared := d.Tags[tag]; !declared {
				d.Tags[tag] = value
			}
		}
	}
}

// metaEnvs is the prefix with which a fork of log-pilot names variables that become tags of all logs:
// COM_ALIYUN_META_ENVS_STAGE=stage.
const metaEnvs = "COM_ALIYUN_META_ENVS_"

// metaTags adds the variables named with metaEnvs as tags of all logs.
func (r *reader) metaTags(env []string) {
	var tags []Pair
	for _, variable := range env {
		key, tag, ok := strings.Cut(variable, "=")
		name, isMeta := strings.CutPrefix(key, metaEnvs)
		if !ok || !isMeta || name == "" || strings.TrimSpace(tag) == "" || len(tags) > maxTags {
			continue
		}
		value, err := r.vars.get(&entry{key: key}, name)
		if err != nil {
			r.warning(key, err.Error()+"; no tag is made of it")
			continue
		}
		if len(value) > maxTagBytes {
			r.warning(key, fmt.Sprintf("the variable %s has %d bytes, more than %d; no tag is made of it", name, len(value), maxTagBytes))
			continue
		}
		if r.vars.hide {
			value = "$(" + name + ")"
		}
		tags = append(tags, Pair{strings.TrimSpace(tag), value})
	}
	if len(tags) == 0 {
		return
	}
	for _, dr := range r.drafts {
		if dr.has("") {
			dr.fields = slices.Concat(tags, dr.fields)
		}
	}
}
