// SPDX-License-Identifier: Apache-2.0

// Package licences collects the licence texts of everything that is linked into programs. It asks the go command for the
// packages of each program and platform, so that a module that is only required and not linked is not named.
package licences

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// Programs are the packages of what is released, and Platforms the GOARCHs that it is built for.
var (
	Programs  = []string{"./driver", "./sidecar", "./node", "./containerd"}
	Platforms = []string{"amd64", "arm64"}
)

// A Module is a linked module, or the standard library, with its licences.
type Module struct {
	Path, Version string
	Sum           string   // as in go.sum; empty for the standard library
	Licences      []string // SPDX identifiers, sorted
	Texts         []Text
}

// A Text is a file with a licence, or with notices that have to be passed on.
type Text struct {
	Name string // relative to the module
	Text string
}

// Linked returns what is linked into Programs of the main module in dir, sorted by path. It fails if a module has no licence
// text, or one that is not known.
func Linked(dir string) ([]Module, error) {
	found := make(map[string]*linked)
	for _, arch := range Platforms {
		packages, err := list(dir, arch)
		if err != nil {
			return nil, err
		}
		for _, p := range packages {
			p.addTo(found)
		}
	}
	var modules []Module
	var errs []error
	for _, path := range slices.Sorted(maps.Keys(found)) {
		m, err := found[path].read()
		errs = append(errs, err)
		modules = append(modules, m)
	}
	return modules, errors.Join(errs...)
}

// goPackage is what `go list -json` tells of a package.
type goPackage struct {
	Dir, ImportPath, Root string
	Standard              bool
	Module                *struct {
		Path, Version, Dir, Sum string
		Main                    bool
		Replace                 *struct{ Path, Version, Dir, Sum string }
	}
}

func list(dir, arch string) ([]goPackage, error) {
	cmd := exec.Command("go", append([]string{"list", "-deps", "-json=Dir,ImportPath,Root,Standard,Module"}, Programs...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list for %s: %w: %s", arch, err, bytes.TrimSpace(stderr.Bytes()))
	}
	var packages []goPackage
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		switch err := decoder.Decode(&p); {
		case err == io.EOF:
			return packages, nil
		case err != nil:
			return nil, fmt.Errorf("go list for %s: %w", arch, err)
		}
		packages = append(packages, p)
	}
}

// linked is a module with the directories of its packages that are linked.
type linked struct {
	module Module
	root   string
	dirs   map[string]bool
}

func (p *goPackage) addTo(found map[string]*linked) {
	var l linked
	switch m := p.Module; {
	case p.Standard:
		l = linked{module: Module{Path: "std", Version: runtime.Version()}, root: p.Root}
	case m == nil || m.Main:
		return
	case m.Replace != nil:
		l = linked{module: Module{Path: m.Replace.Path, Version: m.Replace.Version, Sum: m.Replace.Sum}, root: m.Replace.Dir}
	default:
		l = linked{module: Module{Path: m.Path, Version: m.Version, Sum: m.Sum}, root: m.Dir}
	}
	if found[l.module.Path] == nil {
		l.dirs = make(map[string]bool)
		found[l.module.Path] = &l
	}
	found[l.module.Path].dirs[p.Dir] = true
}

// read collects the texts in the module's root and in the directories between it and each linked package: code that a module
// took from elsewhere has its licence there.
func (l *linked) read() (Module, error) {
	m := l.module
	dirs := map[string]bool{l.root: true}
	for dir := range l.dirs {
		for ; len(dir) > len(l.root) && !dirs[dir]; dir = filepath.Dir(dir) {
			dirs[dir] = true
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(dirs)) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return m, err
		}
		for _, e := range entries {
			if !e.Type().IsRegular() || !hasTerms(e.Name()) {
				continue
			}
			if err := m.add(l.root, filepath.Join(dir, e.Name())); err != nil {
				return m, err
			}
		}
	}
	if len(m.Licences) == 0 {
		return m, fmt.Errorf("%s %s: no licence text in %s", m.Path, m.Version, l.root)
	}
	slices.Sort(m.Licences)
	m.Licences = slices.Compact(m.Licences)
	return m, nil
}

func (m *Module) add(root, path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	name, err := filepath.Rel(root, path)
	if err != nil {
		return err
	}
	ids := identify(string(text))
	if len(ids) == 0 && isLicence(filepath.Base(name)) {
		return fmt.Errorf("%s %s: the licence in %s is not known: read it, and teach it to identify", m.Path, m.Version, path)
	}
	m.Licences = append(m.Licences, ids...)
	m.Texts = append(m.Texts, Text{Name: filepath.ToSlash(name), Text: string(text)})
	return nil
}

func hasTerms(file string) bool {
	name := strings.ToUpper(file)
	return isLicence(file) || strings.HasPrefix(name, "NOTICE") || strings.HasPrefix(name, "PATENTS")
}

func isLicence(file string) bool {
	name := strings.ToUpper(file)
	if strings.HasSuffix(name, ".GO") {
		return false
	}
	return strings.HasPrefix(name, "LICENSE") || strings.HasPrefix(name, "LICENCE") || strings.HasPrefix(name, "COPYING")
}

// identify returns the SPDX identifiers of the licences in a text, by a sentence that each must contain. Licences that Remora
// could not be distributed under are left out on purpose.
func identify(text string) []string {
	words := strings.Join(strings.Fields(text), " ")
	has := func(sentence string) bool { return strings.Contains(words, sentence) }
	var ids []string
	if has("Apache License Version 2.0, January 2004") || has(`Licensed under the Apache License, Version 2.0 (the "License")`) {
		ids = append(ids, "Apache-2.0")
	}
	if has("Permission is hereby granted, free of charge, to any person obtaining a copy") {
		ids = append(ids, "MIT")
	}
	if has("Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee") ||
		has("Permission to use, copy, modify, and distribute this software for any purpose with or without fee") {
		ids = append(ids, "ISC")
	}
	if has("Redistribution and use in source and binary forms") {
		if has("Neither the name") {
			ids = append(ids, "BSD-3-Clause")
		} else {
			ids = append(ids, "BSD-2-Clause")
		}
	}
	return ids
}

// Write writes all texts of modules, each below its module's name.
func Write(w io.Writer, modules []Module) error {
	var b strings.Builder
	b.WriteString("Remora is licensed under the Apache License 2.0. Its programs contain the following, under these terms.\n")
	for _, m := range modules {
		fmt.Fprintf(&b, "\n%s\n%s %s (%s)\n", strings.Repeat("=", 80), m.Path, m.Version, strings.Join(m.Licences, " AND "))
		for _, t := range m.Texts {
			fmt.Fprintf(&b, "\n%s\n%s, %s\n\n%s\n", strings.Repeat("-", 80), m.Path, t.Name, strings.TrimSpace(t.Text))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
