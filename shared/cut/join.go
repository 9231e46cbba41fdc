package cut

import (
	"bytes"
	"sync"

	"github.com/remora-logs/remora/shared/record"
)

// texts is memory for messages under way. A joiner has some only while a message is open, so that thousands of streams
// that once had a long line don't hold its size for ever.
var texts = sync.Pool{New: func() any { return new([]byte) }}

// joiner puts the pieces of long messages together. The engine cuts a message into pieces of 16 KiB; all of them are
// marked partial, the last one says so, and pieces of stdout and stderr come in turn (moby daemon/logger/copier.go).
// One message can be open on each standard stream, for the engine reads each with one goroutine.
type joiner struct {
	src     *record.Source
	max     int   // bytes of a record
	timeout int64 // ns
	open    [3]message
}

// message is one that lacks its end.
type message struct {
	begun    bool
	id       []byte
	text     *[]byte // of texts, nil while there is no message
	offset   int64   // of its first piece
	timeNano int64
	seen     int64 // when a piece came last
}

// add joins the piece e, whose frame stands at offset from to offset to. A record is cut between pieces, so that what is
// open always begins with a frame and can be read again from there; only a piece that is longer than a record is cut
// itself, and then all of it is made records of at once.
func (j *joiner) add(b *record.Batch, e *entry, from, to, now int64) {
	m := &j.open[e.std]
	if m.begun && !bytes.Equal(m.id, e.id) {
		j.end(b, e.std, false)
	}
	if m.begun && len(*m.text)+len(e.line) > j.max {
		j.end(b, e.std, true)
	}
	if !m.begun {
		m.begin(from)
		m.timeNano = e.timeOr(now)
		m.id = append(m.id[:0], e.id...)
	}
	m.seen = now
	line := e.line
	for len(line) > j.max {
		*m.text = append(*m.text, line[:j.max]...)
		line = line[j.max:]
		j.end(b, e.std, true)
		m.begin(to - int64(len(line)))
	}
	*m.text = append(*m.text, line...)
	if e.last {
		j.end(b, e.std, false)
	} else if len(e.line) > j.max {
		j.end(b, e.std, true)
	}
}

func (m *message) begin(offset int64) {
	m.begun, m.offset, m.text = true, offset, texts.Get().(*[]byte)
}

// awaitsPlainEnd says that a message is open whose pieces carry no id: engines before 18.06 mark all pieces as partial
// but the last.
func (j *joiner) awaitsPlainEnd(std record.Std) bool {
	return j.open[std].begun && len(j.open[std].id) == 0
}

// interrupt ends what is open on std: a whole message came, so the rest of the open one never will.
func (j *joiner) interrupt(b *record.Batch, std record.Std) {
	if j.open[std].begun {
		j.end(b, std, false)
	}
}

// end makes a record of what there is.
func (j *joiner) end(b *record.Batch, std record.Std, truncated bool) {
	m := &j.open[std]
	b.Records = append(b.Records, record.Record{Line: b.Hold(*m.text), Source: j.src, Time: m.timeNano, Offset: m.offset,
		Std: std, Truncated: truncated})
	*m.text = (*m.text)[:0]
	texts.Put(m.text)
	m.begun, m.text = false, nil
}

// expire ends the messages of which no piece came for the timeout, or all of them.
func (j *joiner) expire(b *record.Batch, now int64, all bool) {
	for std := range j.open {
		if m := &j.open[std]; m.begun && (all || now-m.seen >= j.timeout) {
			j.end(b, record.Std(std), false)
		}
	}
}

// oldest is the offset of the first piece of the oldest open message, or -1.
func (j *joiner) oldest() int64 {
	first := int64(-1)
	for i := range j.open {
		if m := &j.open[i]; m.begun && (first < 0 || m.offset < first) {
			first = m.offset
		}
	}
	return first
}
