// SPDX-License-Identifier: Apache-2.0

package cut

// minHole is the number of NUL bytes at the beginning of a line from which they count as a hole in the file and not as text. A
// writer without O_APPEND whose file was truncated continues at its old offset; the bytes before that read as NULs.
const minHole = 16

// holes skips the holes of a file and counts them.
type holes struct {
	inside        bool // the bytes read so far end in a hole
	bytes, places int64
}

// skip returns the position of the text after the NULs at data[pos:]: behind them if they are a hole, else pos. unit is the
// least number of bytes of a character: in UTF-16 the last NUL may be half of one. more reports that this, or where the hole
// ends, can't be told without more data.
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
