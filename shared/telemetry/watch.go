// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/remora-logs/remora/shared/escape"
)

// watchEvery is how often a watched status is refreshed.
const watchEvery = 2 * time.Second

// orders are the sort orders of a watched status; the key s selects the next one.
var orders = []struct {
	name string
	less func(a, b *watchedRow) int
}{
	{"state", func(a, b *watchedRow) int { return cmp.Compare(severity[b.State], severity[a.State]) }},
	{"rate", func(a, b *watchedRow) int { return cmp.Compare(b.rate, a.rate) }},
	{"lag", func(a, b *watchedRow) int { return cmp.Compare(b.LagBytes, a.LagBytes) }},
	{"name", func(a, b *watchedRow) int { return 0 }},
}

type watchedRow struct {
	*Row
	rate float64 // records read per second since the previous snapshot
}

// watch is a status that is shown repeatedly.
type watch struct {
	now, before *Snapshot
	failed      error // the last refresh's error
	order, top  int   // index in orders; index of the first row shown
}

// watchStatus shows the status until ctx ends or, if w is a terminal, q is pressed.
func watchStatus(ctx context.Context, w io.Writer, addresses []Address) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	screen := openTerminal(w)
	defer screen.close()
	keys := screen.keys(ctx)
	every := time.NewTicker(watchEvery)
	defer every.Stop()
	var s watch
	if err := s.ask(ctx, addresses); err != nil {
		return err
	}
	for {
		if err := screen.draw(w, &s); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case key, ok := <-keys:
			if !ok {
				keys = nil
			} else if !s.press(key) {
				return nil
			}
		case <-every.C:
			s.failed = s.ask(ctx, addresses)
		}
	}
}

// press acts on a key, and reports whether to continue.
func (s *watch) press(key byte) bool {
	const interrupt = 3
	switch key {
	case 'q', interrupt:
		return false
	case 's':
		s.order, s.top = (s.order+1)%len(orders), 0
	case 'j':
		s.top = min(s.top+1, max(0, len(s.now.Rows)-1))
	case 'k':
		s.top = max(0, s.top-1)
	case ' ':
		s.top = min(s.top+20, max(0, len(s.now.Rows)-1))
	case 'b':
		s.top = max(0, s.top-20)
	}
	return true
}

func (s *watch) ask(ctx context.Context, addresses []Address) error {
	next, err := Ask(ctx, addresses...)
	if err != nil {
		return err
	}
	s.before, s.now = s.now, next
	return nil
}

// rows returns the rows in their order, with their rates.
func (s *watch) rows() []watchedRow {
	before := map[RowKey]int64{}
	var seconds float64
	if s.before != nil && s.before.Started.Equal(s.now.Started) {
		seconds = s.now.Now.Sub(s.before.Now).Seconds()
		for i := range s.before.Rows {
			before[s.before.Rows[i].Key()] = s.before.Rows[i].Counts.ReadRecords
		}
	}
	all := make([]watchedRow, len(s.now.Rows))
	for i := range s.now.Rows {
		all[i] = watchedRow{Row: &s.now.Rows[i]}
		if old, ok := before[all[i].Key()]; ok && seconds > 0 {
			all[i].rate = float64(max(0, all[i].Counts.ReadRecords-old)) / seconds
		}
	}
	slices.SortStableFunc(all, func(a, b watchedRow) int { return orders[s.order].less(&a, &b) })
	return all
}

// lines returns the lines of a screen of that size; a height of 0 means no limit.
func (s *watch) lines(width, height int) []string {
	rows := s.rows()
	states := map[State]int{}
	var rate float64
	for i := range rows {
		states[rows[i].State]++
		rate += rows[i].rate
	}
	head := fmt.Sprintf("remora %s, up %s, %.0f records/s, %d rows", s.now.Version, s.now.Now.Sub(s.now.Started).Round(time.Second), rate, len(rows))
	for _, state := range []State{StateRefused, StateFailing, StateWaiting, StateUnreadable, StateParked, StateSlowed, StateBehind, StateNoMatch} {
		if states[state] > 0 {
			head += fmt.Sprintf(", %d %s", states[state], state)
		}
	}
	lines := []string{head, "sorted by " + orders[s.order].name + "; s: next order, j k space b: move, q: quit"}
	if s.failed != nil {
		lines = append(lines, "no answer, as of "+s.now.Now.Format(time.TimeOnly)+": "+s.failed.Error())
	}
	for _, f := range s.now.Faults {
		lines = append(lines, "fault "+f.Component+": "+f.Message)
	}
	for i := range s.now.Outputs {
		o := &s.now.Outputs[i]
		lines = append(lines, "output "+o.Name+": "+o.state(s.now.Now))
	}
	lines = append(lines, "")
	room := len(rows)
	if height > 0 {
		room = max(0, height-len(lines)-2)
	}
	from := min(s.top, len(rows))
	lines = append(lines, columns(rows[from:min(len(rows), from+room)])...)
	for i := range lines {
		lines[i] = fit(escape.Text(lines[i]), width)
	}
	return lines
}

// columns formats rows as a table.
func columns(rows []watchedRow) []string {
	cells := [][]string{{"CONTAINER", "LOG", "OUTPUT", "STATE", "READ/s", "READ", "SENT", "QUEUED", "DROPPED", "REFUSED", "LAG", "REASON"}}
	for i := range rows {
		r, c := &rows[i], &rows[i].Counts
		cells = append(cells, []string{r.Container, r.Declaration, r.Output, string(r.State), fmt.Sprintf("%.0f", r.rate), number(c.ReadRecords),
			number(c.SentRecords), number(c.QueuedRecords), number(c.DroppedRecords), number(c.RefusedRecords),
			size(r.LagBytes) + fmt.Sprintf(" %.0fs", r.LagSeconds), cmp.Or(r.Reason, r.Error)})
	}
	if !slices.ContainsFunc(rows, func(r watchedRow) bool { return r.Container != "" }) {
		for i := range cells {
			cells[i] = cells[i][1:]
		}
	}
	widths := make([]int, len(cells[0]))
	for _, row := range cells {
		for i := range row {
			width := maxCell
			if i == len(row)-1 {
				width = 0 // the screen bounds it
			}
			row[i] = fit(escape.Text(row[i]), width)
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	lines := make([]string, 0, len(cells))
	for _, row := range cells {
		var b strings.Builder
		for i, cell := range row[:len(row)-1] {
			b.WriteString(cell + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2))
		}
		lines = append(lines, b.String()+row[len(row)-1])
	}
	return lines
}

// maxCell bounds a cell, so that one long name does not push other columns off the screen.
const maxCell = 48

// fit cuts s to a width in characters; 0 means no limit.
func fit(s string, width int) string {
	if width <= 0 || utf8.RuneCountInString(s) <= width {
		return s
	}
	return string([]rune(s)[:max(0, width-1)]) + "…"
}

// terminal is the screen of a watched status; file is nil if there is no terminal.
type terminal struct {
	file  *os.File
	input *unix.Termios // the settings before
}

// openTerminal takes over the screen and the keys if w is a terminal.
func openTerminal(w io.Writer) *terminal {
	file, ok := w.(*os.File)
	if !ok {
		return &terminal{}
	}
	if _, err := unix.IoctlGetWinsize(int(file.Fd()), unix.TIOCGWINSZ); err != nil {
		return &terminal{}
	}
	t := &terminal{file: file}
	fmt.Fprint(file, "\x1b[?1049h\x1b[?25l") // another screen, no cursor
	if was, err := unix.IoctlGetTermios(int(os.Stdin.Fd()), unix.TCGETS); err == nil {
		t.input = was
		raw := *was
		raw.Lflag &^= unix.ICANON | unix.ECHO
		_ = unix.IoctlSetTermios(int(os.Stdin.Fd()), unix.TCSETS, &raw) // if this fails, keys need Enter
	}
	return t
}

func (t *terminal) close() {
	if t.file == nil {
		return
	}
	if t.input != nil {
		_ = unix.IoctlSetTermios(int(os.Stdin.Fd()), unix.TCSETS, t.input)
	}
	fmt.Fprint(t.file, "\x1b[?25h\x1b[?1049l")
}

// keys returns the keys pressed; nil without a terminal.
func (t *terminal) keys(ctx context.Context) <-chan byte {
	if t.input == nil {
		return nil
	}
	keys := make(chan byte)
	go func() {
		defer close(keys)
		for key := make([]byte, 1); ; {
			if n, err := os.Stdin.Read(key); n == 0 || err != nil {
				return
			}
			select {
			case keys <- key[0]:
			case <-ctx.Done():
				return
			}
		}
	}()
	return keys
}

// draw shows the status: on a terminal in place of the previous one, otherwise below it.
func (t *terminal) draw(w io.Writer, s *watch) error {
	if t.file == nil {
		_, err := fmt.Fprintln(w, strings.Join(s.lines(0, 0), "\n")+"\n")
		return err
	}
	width, height := 80, 24
	if size, err := unix.IoctlGetWinsize(int(t.file.Fd()), unix.TIOCGWINSZ); err == nil && size.Col > 0 && size.Row > 0 {
		width, height = int(size.Col), int(size.Row)
	}
	lines := s.lines(width, height)
	_, err := fmt.Fprint(w, "\x1b[H"+strings.Join(lines[:min(len(lines), height)], "\x1b[K\r\n")+"\x1b[J")
	return err
}
