// SPDX-License-Identifier: Apache-2.0

package licences

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Each module that is linked into a program has a licence text that is known, on every platform.
func TestEveryLinkedModuleHasItsText(t *testing.T) {
	modules, err := Linked("../../..")
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := Write(&text, modules); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"std", "go.etcd.io/bbolt", "github.com/klauspost/compress", "github.com/twmb/franz-go"} {
		if !slices.ContainsFunc(modules, func(m Module) bool { return m.Path == path && len(m.Texts) > 0 }) {
			t.Errorf("%s is missing", path)
		}
	}
	for _, m := range modules {
		if strings.HasPrefix(m.Path, "github.com/stretchr/testify") {
			t.Errorf("%s is named, though only tests use it", m.Path)
		}
		for _, file := range m.Texts {
			if !strings.Contains(text.String(), strings.TrimSpace(file.Text)) {
				t.Errorf("the text lacks %s of %s", file.Name, m.Path)
			}
		}
	}
}

func TestModuleWithoutKnownText(t *testing.T) {
	for name, c := range map[string]struct{ file, text, want string }{
		"no text":         {"README", "MIT, honestly", "no licence text"},
		"only a notice":   {"NOTICE", "Copyright somebody", "no licence text"},
		"an unknown text": {"LICENSE", "All rights reserved.", "not known"},
		"copyleft":        {"COPYING", "GNU GENERAL PUBLIC LICENSE Version 3, 29 June 2007", "not known"},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			if err := os.WriteFile(filepath.Join(root, c.file), []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			l := linked{module: Module{Path: "example.com/x", Version: "v1"}, root: root, dirs: map[string]bool{root: true}}
			if _, err := l.read(); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "example.com/x v1") {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

// Code that a module took from elsewhere brings its own terms, if it is linked.
func TestTextsBesideLinkedPackages(t *testing.T) {
	root := t.TempDir()
	for file, text := range map[string]string{
		"LICENSE":             "Permission is hereby granted, free of charge, to any person obtaining a copy",
		"a/LICENSE.txt":       "Redistribution and use in source and binary forms … Neither the name",
		"a/b/doc.go":          "package b",
		"unused/LICENSE":      "All rights reserved.",
		"a/b/license_test.go": "package b",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, file)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l := linked{root: root, dirs: map[string]bool{filepath.Join(root, "a", "b"): true}}
	m, err := l.read()
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"BSD-3-Clause", "MIT"}; !slices.Equal(m.Licences, want) {
		t.Errorf("licences %v, want %v", m.Licences, want)
	}
	if len(m.Texts) != 2 {
		t.Errorf("%d texts, want 2", len(m.Texts))
	}
}
