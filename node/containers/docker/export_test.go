// SPDX-License-Identifier: Apache-2.0

package docker

// LimitAnswers replaces the bound of an answer, in bytes, and returns the one before.
func (i *Inventory) LimitAnswers(most int) (before int) {
	before, i.engine.most = i.engine.most, most
	return before
}
