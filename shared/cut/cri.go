// SPDX-License-Identifier: Apache-2.0

package cut

import (
	"bytes"
	"io"

	"github.com/remora-logs/remora/shared/record"
)

// maxCRIHeader bounds what precedes the text of a line: a time of at most 45 bytes, the stream, and the tags.
const maxCRIHeader = 256

// CRI cuts the files that container runtimes write for the kubelet (kubernetes pkg/kubelet/kuberuntime/logs, containerd
// internal/cri/io/logger.go, conmon). Each line is TIME STREAM TAGS TEXT. TAGS are separated by colons; the first is P for a
// piece of a line, and F for a whole line or a last piece. stdout and stderr are written independently, so their pieces
// alternate.
//
// containerd writes a line without a newline at the end of the output as P, and no F follows. It becomes a record when the
// stream ends or the timeout passes.
//
// Under cri-dockerd the same paths hold Docker's json-file. A line that begins with a brace is decoded as JSONFile does.
type CRI struct{ pieces }

// NewCRI returns a cutter for src. Its parameters are those of NewFrames.
func NewCRI(src *record.Source, stream io.ReaderAt, max int, timeout int64) *CRI {
	c := &CRI{newPieces(criLine, src, stream, max, timeout)}
	c.usual = func(b *record.Batch, data []byte, at int64) int {
		if data[0] == '{' {
			return c.usualObjects(b, data, at)
		}
		return c.usualLines(b, data, at)
	}
	return c
}

// criLine is the decoder of CRI.
func criLine(p []byte, e *entry, max int, last bool) (size int, v verdict) {
	switch p[0] {
	case '{':
		return jsonFile(p, e, max, last)
	case 0:
		return zeros(p), broken
	}
	n := bytes.IndexByte(p, '\n')
	line := p
	if n >= 0 {
		line, size = p[:n], n+1
	}
	if header := e.decodeCRI(line); header > 0 {
		switch {
		case n >= 0:
			e.tail = 1
			return size, whole
		case last:
			return len(p), whole // its write was not finished
		case len(e.line) > max:
			return header, over
		}
		return 0, short
	}
	switch {
	case n >= 0:
		return size, broken
	case last || len(p) > maxCRIHeader:
		return len(p), broken
	}
	return 0, short
}

// decodeCRI decodes line and returns the length of its header, which is what precedes the text; 0 if line has another form.
func (e *entry) decodeCRI(line []byte) (header int) {
	head := line[:min(len(line), maxCRIHeader)]
	at := bytes.IndexByte(head, ' ')
	if at < 0 {
		return 0
	}
	nano, ok := parseTime(head[:at])
	if !ok {
		return 0
	}
	rest := head[at+1:]
	const source = len("stdout")
	if len(rest) < source+2 || rest[source] != ' ' {
		return 0
	}
	which, tags := std(rest[:source]), rest[source+1:]
	if end := bytes.IndexByte(tags, ' '); end >= 0 {
		tags = tags[:end]
		header = at + source + end + 3
	} else if header = len(line); header > maxCRIHeader {
		return 0
	}
	if which == record.NoStd || len(tags) == 0 || len(tags) > 1 && tags[1] != ':' || tags[0] != 'P' && tags[0] != 'F' {
		return 0
	}
	*e = entry{line: line[header:len(line):len(line)], timeNano: nano, std: which, partial: tags[0] == 'P'}
	return header
}

// zeros counts the NUL bytes at the beginning of p.
func zeros(p []byte) (n int) {
	for n < len(p) && p[n] == 0 {
		n++
	}
	return n
}
