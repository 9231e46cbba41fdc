// SPDX-License-Identifier: Apache-2.0

package plugin

import "encoding/binary"

// AppendEntry appends a line as docker logs wants it: a frame of a big-endian length and a LogEntry (moby
// api/types/plugins/logdriver/entry.proto) with its source, time in ns, and line, whose newline the reader is to add.
func AppendEntry(dst []byte, source string, timeNano int64, line []byte, newline bool) []byte {
	const sourceTag, timeTag, lineTag = 1<<3 | 2, 2 << 3, 3<<3 | 2
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0, sourceTag)
	dst = binary.AppendUvarint(dst, uint64(len(source)))
	dst = append(dst, source...)
	dst = binary.AppendUvarint(append(dst, timeTag), uint64(timeNano))
	n := len(line)
	if newline {
		n++
	}
	dst = binary.AppendUvarint(append(dst, lineTag), uint64(n))
	dst = append(dst, line...)
	if newline {
		dst = append(dst, '\n')
	}
	binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	return dst
}
