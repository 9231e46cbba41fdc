// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/remora-logs/remora/shared/pipeline"
)

// Declaration is a log to be collected, as a way in knows it.
type Declaration struct {
	// Container is that of Row. Name, Sources, Target and Format are as declared. Outputs are those that receive the log.
	Container string   `json:"container,omitempty"`
	Name      string   `json:"name"`
	Sources   []string `json:"sources"`
	Target    string   `json:"target"`
	Format    string   `json:"format"`
	Outputs   []string `json:"outputs"`
	// Where says where the sources are on this machine; empty if that is not known.
	Where string `json:"where,omitempty"`
	// Files is how many files match. It is negative if there are none to match, as for a pipe, or if their number is not known.
	Files int `json:"files"`
	// LeftOut is the reason why nothing of the container is collected.
	LeftOut string `json:"left_out,omitempty"`
	// Found are the matching files, as far as they are known.
	Found []File `json:"-"`
}

// File is a file, or another stream, that is collected.
type File struct {
	Declaration string `json:"declaration"`
	Path        string `json:"path"`
	// Size is the known number of bytes of the file, and Offset the number that all outputs have acknowledged.
	Size   int64 `json:"size"`
	Offset int64 `json:"offset"`
	// State is a word: reading, read (to its end), rotated, removed, searching; open for a stream.
	State string `json:"state"`
}

// Streams returns the streams of a container that are being read and are not among files, such as pipes that are captured. If
// a stream goes to several outputs, the one furthest behind counts.
func (s *Snapshot) Streams(container string, files []File) (all []File) {
	known := make(map[[2]string]bool, len(files))
	for _, f := range files {
		known[[2]string{f.Declaration, f.Path}] = true
	}
	streams := map[string]int{}
	for i := range s.Logs {
		l := &s.Logs[i]
		if cmp.Or(l.Writer, l.Container) != container || known[[2]string{l.Declaration, l.Source}] {
			continue
		}
		f := File{Declaration: l.Declaration, Path: l.Source, Size: l.acked + l.LagBytes, Offset: l.acked, State: "open"}
		key := l.Stream + "\x00" + l.Declaration
		if at, ok := streams[key]; !ok {
			streams[key] = len(all)
			all = append(all, f)
		} else if f.Offset < all[at].Offset {
			all[at] = f
		}
	}
	return all
}

// ReadRecords returns the number of records of each row that were read since the process started.
func ReadRecords(p *pipeline.Pipeline, now time.Time) map[RowKey]int64 {
	feeds, _, _ := p.Status(now)
	counts := make(map[RowKey]int64, len(feeds))
	for i := range feeds {
		f := &feeds[i]
		counts[RowKey{f.Source.Writer(), f.Declaration, f.Output}] += f.ReadRecords + f.Prior.ReadRecords
	}
	for _, of := range p.Ended() {
		counts[RowKey{of.Writer, of.Declaration, of.Output}] += of.Counts.ReadRecords
	}
	return counts
}

// State is what a row does, in one word.
type State string

// The states of a row. severity orders them.
const (
	StateRefused    State = "refused"    // the declaration is not followed; Reason says why
	StateFailing    State = "failing"    // the output fails, and records wait for it
	StateWaiting    State = "waiting"    // the destination does not accept the records, and their stream waits
	StateUnreadable State = "unreadable" // the stream can't be read, or records of it were refused
	StateParked     State = "parked"     // records are on disk until their destination accepts them
	StateSlowed     State = "slowed"     // formats and filters take more CPU time than the container's share
	StateNoMatch    State = "no_match"   // no file matches
	StateBehind     State = "behind"     // records are read that the output has not acknowledged for a while
	StateSending    State = "sending"    // records are in flight
	StateDone       State = "done"       // everything there is was delivered
	StateEnded      State = "ended"      // delivered, and the container is gone
	StateLeftOut    State = "left_out"   // the container asks not to be collected, or is Remora's own
)

// behindAfter is the lag from which a row counts as behind.
const behindAfter = 30 * time.Second

// advice holds what to do about a row in a state, if there is anything to do.
var advice = map[State]string{
	StateRefused:    "Correct the label, variable, annotation or rule that the reason names; explain shows what is understood.",
	StateFailing:    "Check that the backend is up and reachable, and its address, credentials and certificates. Nothing is lost meanwhile.",
	StateWaiting:    "Make the destination accept records: create it, unblock it, or raise its quota. Other streams are not held up.",
	StateUnreadable: "Read the error: check the file's permissions and disk, or why the backend refuses records; REMORA_DEAD_LETTER keeps these.",
	StateParked:     "Make the destination accept records. Over REMORA_PARKED_BYTES the oldest go to the dead letters.",
	StateSlowed:     "Simplify regular expressions and multiline patterns of this declaration; other containers are not held up.",
	StateNoMatch:    "Check the path: it is the one inside the container. The file may not be there yet, or lie outside a volume that can be read.",
	StateBehind:     "Check the backend's speed and the agent's CPU limit; REMORA_WORKERS sends more batches at the same time.",
}

// Row is a declaration of a container on its way to an output.
type Row struct {
	// Container is the container's name that is unique on the machine: NAMESPACE/POD/CONTAINER in Kubernetes. It is empty if
	// the process serves a single one, and for files of the machine itself.
	Container   string   `json:"container,omitempty"`
	Declaration string   `json:"declaration"`
	Output      string   `json:"output,omitempty"`
	Target      string   `json:"target,omitempty"`
	Sources     []string `json:"sources,omitempty"`
	State       State    `json:"state"`
	// Reason is the reason for the state, Since its beginning, and Advice what to do about it. Code is that of the message in
	// docs/messages.md.
	Reason string     `json:"reason,omitempty"`
	Code   string     `json:"code,omitempty"`
	Since  *time.Time `json:"since,omitempty"`
	Advice string     `json:"advice,omitempty"`
	// Files is the number of files that match, and Streams the number of streams being read.
	Files   int `json:"files"`
	Streams int `json:"streams"`
	// Counts are since the process started, and include streams that have ended.
	Counts pipeline.Counts `json:"counts"`
	// LagBytes is what the output has not acknowledged, and LagSeconds how long ago it had acknowledged everything.
	LagBytes   int64   `json:"lag_bytes"`
	LagSeconds float64 `json:"lag_seconds"`
	// Error is the last error, and ErrorSince its time.
	Error      string     `json:"error,omitempty"`
	ErrorSince *time.Time `json:"error_since,omitempty"`
}

// RowKey identifies a row.
type RowKey struct{ Container, Declaration, Output string }

// Key returns the row's key.
func (r *Row) Key() RowKey { return RowKey{r.Container, r.Declaration, r.Output} }

// MakeRows sets s.Rows from what is declared, what is being read and what was read. A problem that is an error also makes a
// row if nothing of that name is collected.
func (s *Snapshot) MakeRows(declared []Declaration) {
	m := rowMaker{rows: map[RowKey]*Row{}, now: s.Now, outputs: map[string]*Output{}}
	for i := range s.Outputs {
		m.outputs[s.Outputs[i].Name] = &s.Outputs[i]
	}
	for i := range declared {
		m.declare(&declared[i])
	}
	for i := range s.Logs {
		m.add(&s.Logs[i])
	}
	for i := range s.ended {
		m.addEnded(&s.ended[i])
	}
	m.addProblems(s.Problems)
	s.Rows = make([]Row, 0, len(m.rows))
	for _, r := range m.rows {
		m.judge(r)
		s.Rows = append(s.Rows, *r)
	}
	slices.SortFunc(s.Rows, func(a, b Row) int {
		return cmp.Or(cmp.Compare(a.Container, b.Container), cmp.Compare(a.Declaration, b.Declaration), cmp.Compare(a.Output, b.Output))
	})
}

type rowMaker struct {
	rows    map[RowKey]*Row
	outputs map[string]*Output
	now     time.Time
}

func (m *rowMaker) row(key RowKey) *Row {
	r := m.rows[key]
	if r == nil {
		r = &Row{Container: key.Container, Declaration: key.Declaration, Output: key.Output}
		m.rows[key] = r
	}
	return r
}

func (m *rowMaker) declare(d *Declaration) {
	outputs := d.Outputs
	if len(outputs) == 0 {
		outputs = []string{""}
	}
	for _, output := range outputs {
		r := m.row(RowKey{d.Container, d.Name, output})
		for _, source := range d.Sources { // one declaration may cover a container's output and its files
			if !slices.Contains(r.Sources, source) {
				r.Sources = append(r.Sources, source)
			}
		}
		r.Target = d.Target
		known := r.State != "" && r.State != StateNoMatch
		r.Files += max(0, d.Files)
		switch {
		case d.LeftOut != "":
			r.State, r.Reason = StateLeftOut, d.LeftOut
		case output == "":
			r.State, r.Reason = StateRefused, "it goes to no output that is configured"
		case d.Files == 0 && !known:
			r.State, r.Reason = StateNoMatch, "no file matches "+strings.Join(d.Sources, ", ")
		default:
			r.State, r.Reason = StateDone, ""
		}
	}
}

// add adds a stream that is being read.
func (m *rowMaker) add(l *Log) {
	r := m.row(RowKey{cmp.Or(l.Writer, l.Container), l.Declaration, l.Output})
	r.Target = cmp.Or(r.Target, l.Target)
	if len(r.Sources) == 0 {
		r.Sources = []string{l.Source}
	}
	r.Streams++
	r.Counts.Add(l.before)
	r.Counts.Add(l.Counts)
	r.LagBytes += l.LagBytes
	r.LagSeconds = max(r.LagSeconds, l.LagSeconds)
	if l.Error != "" && (r.ErrorSince == nil || l.ErrorSince != nil && l.ErrorSince.After(*r.ErrorSince)) {
		r.Error, r.ErrorSince = l.Error, l.ErrorSince
	}
	state, reason, since := l.state(m.now)
	if worse(state, r.State) {
		r.State, r.Reason, r.Since, r.Code = state, reason, since, ""
		if reason != "" && state != StateSlowed {
			r.Code = l.Code
		}
	}
}

// severity says which of two states a row takes. no_match and left_out are low, because any stream that is read outweighs them.
var severity = map[State]int{StateRefused: 12, StateFailing: 11, StateWaiting: 10, StateUnreadable: 9, StateParked: 8, StateSlowed: 7,
	StateBehind: 6, StateSending: 5, StateDone: 4, StateEnded: 3, StateNoMatch: 2, StateLeftOut: 1}

func worse(a, b State) bool { return severity[a] > severity[b] }

// unreadableFor is how long after a stream's last error its row is unreadable.
const unreadableFor = time.Minute

func (l *Log) state(now time.Time) (state State, reason string, since *time.Time) {
	switch {
	case l.Waiting != nil:
		return StateWaiting, l.Waiting.String(), &l.Waiting.Since
	case l.Error != "" && l.ErrorSince != nil && now.Sub(*l.ErrorSince) < unreadableFor:
		return StateUnreadable, l.Error, l.ErrorSince
	case l.Parked != nil:
		return StateParked, l.Parked.String(), &l.Parked.Since
	case l.CPUWaitSince != nil:
		return StateSlowed, "formats and filters wait for CPU time", l.CPUWaitSince
	case l.LagSeconds >= behindAfter.Seconds() && l.LagBytes > 0:
		return StateBehind, "", nil
	case l.Counts.QueuedRecords > 0:
		return StateSending, "", nil
	}
	return StateDone, "", nil
}

// addEnded adds the counts of streams that have ended. If nothing is declared any more, their container is gone.
func (m *rowMaker) addEnded(p *pipeline.Ended) {
	r := m.row(RowKey{p.Writer, p.Declaration, p.Output})
	r.Counts.Add(p.Counts)
	r.Target = cmp.Or(r.Target, p.Target)
	if r.State == "" {
		r.State = StateEnded
	}
}

// addProblems adds each error to the rows of its declaration, or to a row of its own. An error about a path explains why a
// pattern there matches nothing.
func (m *rowMaker) addProblems(all []Problem) {
	keys := slices.SortedFunc(maps.Keys(m.rows), compareKeys)
	named := map[[2]string][]*Row{}
	for _, key := range keys {
		of := [2]string{key.Container, key.Declaration}
		named[of] = append(named[of], m.rows[key])
		if key.Container != "" { // a process that serves a single Pod names no container
			anywhere := [2]string{"", key.Declaration}
			named[anywhere] = append(named[anywhere], m.rows[key])
		}
	}
	for i := range all {
		p := &all[i]
		if p.Warning {
			continue
		}
		rows := m.concerned(p, keys, named)
		if len(rows) == 0 && !strings.HasPrefix(p.Key, "/") {
			r := m.row(RowKey{Container: p.Container, Declaration: declaredName(p.Key)})
			r.State = StateRefused
			rows = []*Row{r}
			named[[2]string{p.Container, r.Declaration}] = rows
		}
		for _, r := range rows {
			if r.State == StateRefused || r.State == StateNoMatch {
				r.Reason, r.Code = join(r.Reason, p.Key+": "+p.Message), cmp.Or(r.Code, p.Code)
			}
			if r.Error == "" {
				r.Error = p.Key + ": " + p.Message
			}
		}
	}
}

// concerned returns the rows that a problem concerns.
func (m *rowMaker) concerned(p *Problem, keys []RowKey, named map[[2]string][]*Row) (rows []*Row) {
	if !strings.HasPrefix(p.Key, "/") {
		for name := declaredName(p.Key); name != ""; {
			if rows := named[[2]string{p.Container, name}]; len(rows) > 0 {
				return rows
			}
			cut := strings.LastIndexByte(name, '_') // aliyun_logs_NAME_format
			name = name[:max(0, cut)]
		}
		return nil
	}
	for _, key := range keys {
		r := m.rows[key]
		if p.Container != "" && p.Container != key.Container || r.State != StateNoMatch {
			continue
		}
		if slices.ContainsFunc(r.Sources, func(source string) bool { return strings.HasPrefix(source, p.Key) }) {
			rows = append(rows, r)
		}
	}
	return rows
}

func compareKeys(a, b RowKey) int {
	return cmp.Or(cmp.Compare(a.Container, b.Container), cmp.Compare(a.Declaration, b.Declaration), cmp.Compare(a.Output, b.Output))
}

// maxReason bounds the reasons of one row, in bytes: a container may declare a thousand wrong keys for one log.
const maxReason = 1000

func join(a, b string) string {
	if a == "" || len(a) > maxReason {
		return cmp.Or(a, b)
	}
	return a + "; " + b
}

// declaredName returns the name of the log that a key describes: access for aliyun.logs.access.format. In a variable, the name
// can't be told from what follows it.
func declaredName(key string) string {
	if _, rest, ok := strings.Cut(key, ".logs."); ok {
		name, _, _ := strings.Cut(rest, ".")
		return name
	}
	if _, rest, ok := strings.Cut(key, "_logs_"); ok && rest != "" {
		return rest
	}
	return key
}

// judge completes a row: its state, if its output fails, and the advice.
func (m *rowMaker) judge(r *Row) {
	if o := m.outputs[r.Output]; o != nil && o.Error != "" && r.Counts.QueuedRecords+r.LagBytes > 0 && worse(StateFailing, r.State) {
		r.State, r.Reason, r.Since, r.Code = StateFailing, o.Error, o.Since, o.Code
	}
	r.Advice = advice[r.State]
}

// States returns all states of a row.
func States() []State { return slices.Sorted(maps.Keys(severity)) }

// Advice returns what to do about a row in a state; empty if there is nothing to do.
func Advice(s State) string { return advice[s] }
