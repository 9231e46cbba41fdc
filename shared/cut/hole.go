// SPDX-License-Identifier: Apache-2.0

package cut

// minHole is how many NUL bytes at the beginning of a line are taken for a hole in the file rather than for text. A writer
// without O_APPEND whose file was truncated under it continues at its old offset; what lies before reads as NULs.
const minHole = 16

// holes skips the holes of a file, and counts them.
type holes struct {
	inside        bool // a hole reaches up to the end of what was read so far
	bytes, places int64
}

// skip returns where the text behind the NULs at data[pos:] begins: behind the hole if they are one, else at pos. unit is
// how many bytes a character has at least: in UTF-16 the last of the NULs may be half of one. more says that this can't be
// told, or that the hole isn't at its end, before there is more data.
func (h *holes) skip(data []byte, pos, unit int, last bool) (text int, more bool) {
	end := pos
	for end < len(data) && data[end] == 0 {
		end++
	}
	ends := end < len(data) || last
	end -= (end - pos) % unit
	if !h.inside && end-pos < minHole {
		return pos, !ends
	}
	if !h.inside {
		h.places++
	}
	h.bytes += int64(end - pos)
	h.inside = !ends
	return end, end == len(data) || !ends
}
