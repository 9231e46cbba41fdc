// SPDX-License-Identifier: Apache-2.0

package declare

import "github.com/remora-logs/remora/shared/near"

func didYouMean(word string, words []string) string { return near.DidYouMean(word, words) }

func nearest(word string, words []string) string { return near.Nearest(word, words) }
