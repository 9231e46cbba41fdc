// SPDX-License-Identifier: Apache-2.0

package declare

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Filters holds what a declaration drops or changes, in the order of its application.
type Filters struct {
	// A record is kept if all of Keep match it and none of Drop does.
	Keep, Drop []Condition
	Masks      []Mask
	Add        []Pair
	Remove     []string
	Rename     []Pair
	// Sample keeps one record in every Sample; 0 keeps all.
	Sample int
	// RateLimit is in records per second; 0 means no limit.
	RateLimit float64
}

// Bounds of a declaration's filters, which cost memory and time for each record.
const (
	MaxExpressions = 64  // of all keys of a declaration together; pattern.MaxExpr bounds each
	MaxEdits       = 256 // fields that are added, removed or renamed
)

// expressions returns the number of expressions, including presets.
func (f *Filters) expressions() int { return len(f.Keep) + len(f.Drop) + len(f.Masks) }

func (f *Filters) edits() int { return len(f.Add) + len(f.Remove) + len(f.Rename) }

// Condition is an expression that a field must match, or the line if Field is empty.
type Condition struct{ Field, Expr string }

// Mask replaces what Expr, or the preset, matches. Either Preset, one of MaskPresets, or Expr is set. The replacement of an
// expression is a template of pattern.Replace; that of a preset is empty for its default.
type Mask struct{ Preset, Expr, Replacement string }

// MaskPresets are the names of masks that need no expression.
var MaskPresets = []string{"bearer", "credit_card", "email", "ipv4"}

// ParseFilters parses Declaration.Filters:
//
//	keep, drop, keep.ID, drop.ID   EXPR, or FIELD~EXPR. A tilde in the expression of a line is written \~ or [~]
//	                               if what precedes it would be taken for the name of a field
//	mask                           presets with commas between, or EXPR => REPLACEMENT, or PRESET => REPLACEMENT
//	mask.ID                        one of the same
//	add, rename                    field=value,field=value; old=new,old=new
//	add.FIELD, rename.FIELD        the value, which may hold commas; the new name
//	remove                         field,field
//	sample                         n: one record in n
//	rate_limit                     n, or n/s: records a second
//
// Conditions and masks of several IDs are in the order of the IDs, numbers by value. The error names the key.
func ParseFilters(m map[string]string) (Filters, error) {
	var f Filters
	for _, key := range slices.SortedFunc(maps.Keys(m), compareKeys) {
		if err := f.set(key, m[key]); err != nil {
			return Filters{}, fmt.Errorf("%s: %w", key, err)
		}
	}
	return f, nil
}

func (f *Filters) set(key, value string) (err error) {
	word, id, _ := strings.Cut(key, ".")
	switch word {
	case "keep":
		f.Keep, err = appendCondition(f.Keep, value)
	case "drop":
		f.Drop, err = appendCondition(f.Drop, value)
	case "mask":
		f.Masks, err = appendMasks(f.Masks, value)
	case "add":
		f.Add, err = appendPairs(f.Add, id, value)
	case "rename":
		f.Rename, err = appendPairs(f.Rename, id, value)
	case "remove":
		f.Remove = SplitList(value)
	case "sample":
		f.Sample, err = parseCount(value)
	case "rate_limit":
		f.RateLimit, err = parseRate(value)
	}
	return err
}

func appendPairs(pairs []Pair, key, value string) ([]Pair, error) {
	if key != "" {
		return append(pairs, Pair{key, value}), nil
	}
	more, err := parsePairs(value)
	return append(pairs, more...), err
}

func appendCondition(conditions []Condition, value string) ([]Condition, error) {
	c := Condition{Expr: value}
	if field, expr, ok := strings.Cut(value, "~"); ok && isField(field) {
		c = Condition{Field: field, Expr: expr}
	}
	err := checkExpr(c.Expr)
	return append(conditions, c), err
}

// isField reports whether s can be the name of a field rather than an expression: it holds only characters of such names.
func isField(s string) bool {
	for i := range len(s) {
		if c := s[i]; !isNameByte(c) && c != '.' && c != '@' {
			return false
		}
	}
	return s != ""
}

func appendMasks(masks []Mask, value string) ([]Mask, error) {
	// The last arrow counts: an expression may hold one, a replacement hardly ever does.
	if at := strings.LastIndex(value, "=>"); at >= 0 {
		m := Mask{Expr: strings.TrimSpace(value[:at]), Replacement: strings.TrimSpace(value[at+len("=>"):])}
		if slices.Contains(MaskPresets, m.Expr) {
			m.Preset, m.Expr = m.Expr, ""
			return append(masks, m), nil
		}
		if m.Expr == "" {
			return masks, fmt.Errorf("%s has no expression before the arrow", quote(value))
		}
		err := checkExpr(m.Expr)
		return append(masks, m), err
	}
	for _, name := range SplitList(value) {
		if !slices.Contains(MaskPresets, name) {
			return masks, fmt.Errorf("%s is neither EXPRESSION => REPLACEMENT nor one of %s%s",
				quote(name), strings.Join(MaskPresets, ", "), didYouMean(name, MaskPresets))
		}
		masks = append(masks, Mask{Preset: name})
	}
	return masks, nil
}

func parseRate(s string) (float64, error) {
	n, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(s), "/s"), 64)
	if err != nil || !(n > 0 && n <= 1e9) {
		return 0, fmt.Errorf("%s is not a number of records a second above zero", quote(s))
	}
	return n, nil
}

// compareKeys orders keep before keep.2 before keep.10.
func compareKeys(a, b string) int {
	wordA, idA, _ := strings.Cut(a, ".")
	wordB, idB, _ := strings.Cut(b, ".")
	if wordA == wordB {
		na, errA := strconv.Atoi(idA)
		nb, errB := strconv.Atoi(idB)
		if errA == nil && errB == nil && na != nb {
			return na - nb
		}
	}
	return strings.Compare(a, b)
}
