// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/remora-logs/remora/integration/engine"
	"github.com/remora-logs/remora/integration/sink"
	"github.com/remora-logs/remora/integration/verify"
	"github.com/remora-logs/remora/shared/stream/framestest"
	"github.com/remora-logs/remora/shared/telemetry"
)

// span is a frame of a stream: where it lies, and which line it is, or is a piece of.
type span struct {
	from, to int
	std      string
	line     int
}

// torn is a stream whose segment is damaged while the plugin is away.
type torn struct {
	name   string // what its lines begin with
	stream *engine.Stream
	frames []byte // as they were written
	spans  []span
	late   int                 // where the frames begin that came after it
	lines  map[string][]string // by standard stream

	cut   int   // the segment ends here
	flips []int // bits of it

	arrived map[string]*verify.Numbers // of the lines that came whole
}

// newTorn makes a stream's frames: lines of both standard streams, and a line in pieces with others between them.
func newTorn(i int) *torn {
	d := &torn{name: fmt.Sprintf("torn%04d", i), lines: map[string][]string{}, cut: -1,
		arrived: map[string]*verify.Numbers{"stdout": {}, "stderr": {}}}
	d.pieces("stdout", "", "an ", "engine ", "gives ", "ids") // in more pieces than bits are flipped, so that this is known
	d.whole("stdout", "first of stdout")
	d.whole("stderr", "first of stderr")
	d.pieces("stdout", "stderr", "a line so long ", "that it comes ", "in pieces")
	d.whole("stdout", "after the pieces")
	d.whole("stderr", "last before the damage")
	d.late = len(d.frames)
	return d
}

// goOn is what the container writes after the damage was done.
func (d *torn) goOn() []byte {
	for n := range 4 {
		d.whole([]string{"stdout", "stderr"}[n%2], "written after the damage")
	}
	return d.frames[d.late:]
}

func (d *torn) whole(std, text string) { d.pieces(std, "", text) }

// pieces adds a line, in pieces where it has several texts, and lines of another standard stream between them.
func (d *torn) pieces(std, between string, texts ...string) {
	n := len(d.lines[std])
	texts[0] = fmt.Sprintf("%s %d %s", d.name, n, texts[0])
	d.lines[std] = append(d.lines[std], strings.Join(texts, ""))
	for i, text := range texts {
		e := framestest.Entry{Source: std, Line: []byte(text)}
		if len(texts) > 1 {
			e.Partial, e.ID, e.Ordinal, e.Last = true, fmt.Sprintf("%s-%d", d.name, n), i+1, i == len(texts)-1
		}
		d.append(n, e)
		if between != "" && i < len(texts)-1 {
			d.whole(between, "between the pieces")
		}
	}
}

func (d *torn) append(line int, e framestest.Entry) {
	e.TimeNano = time.Now().UnixNano()
	from := len(d.frames)
	d.frames = framestest.Append(d.frames, e)
	d.spans = append(d.spans, span{from, len(d.frames), e.Source, line})
}

// damage is done to the segment as a machine's crash, or a disk that is failing, would.
func (d *torn) damage(t *testing.T, p *engine.Plugin) {
	t.Helper()
	found, _ := filepath.Glob(filepath.Join(p.State(), "streams", d.stream.ID[:12]+"-*", "*.seg"))
	if len(found) != 1 {
		t.Fatalf("%s has these segments: %v", d.name, found)
	}
	content, err := os.ReadFile(found[0])
	if err != nil || string(content) != string(d.frames) {
		t.Fatalf("the segment of %s does not hold what was written: %v", d.name, err)
	}
	if d.cut >= 0 {
		err = os.Truncate(found[0], int64(d.cut))
	} else {
		for _, bit := range d.flips {
			content[bit/8] ^= 1 << (bit % 8)
		}
		err = os.WriteFile(found[0], content, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// damaged says of each frame if it can't be what it was. A frame that was cut in two claims bytes of those that came
// behind it: they are its damage as well.
func (d *torn) damaged() (bad []bool) {
	bad = make([]bool, len(d.spans))
	claimed := d.late
	for i, s := range d.spans {
		if d.cut >= 0 {
			if s.from < d.late {
				bad[i] = s.to > d.cut
			} else {
				bad[i] = s.from < claimed
			}
			if s.from < d.cut && d.cut < s.to {
				claimed = d.late + s.to - d.cut
			}
		}
		for _, bit := range d.flips {
			bad[i] = bad[i] || s.from <= bit/8 && bit/8 < s.to
		}
	}
	return bad
}

// take notes a line that has arrived as it was written.
func (d *torn) take(r *verify.Record) {
	for n, line := range d.lines[r.Stream] {
		if line == r.Line() {
			d.arrived[r.Stream].Add(n)
		}
	}
}

// judge compares what has arrived with what was not damaged, and what was skipped with where the damage was.
func (d *torn) judge(t *testing.T, counts telemetry.Log) {
	t.Helper()
	lost := map[string]map[int]bool{"stdout": {}, "stderr": {}}
	most := int64(0)
	for i, bad := range d.damaged() {
		if s := d.spans[i]; bad {
			lost[s.std][s.line] = true
			most += int64(s.to - s.from)
		}
	}
	missing := 0
	for std, lines := range d.lines {
		n := d.arrived[std]
		for line := range lines {
			if n.Has(line) {
				continue
			}
			missing++
			if !lost[std][line] {
				t.Errorf("%s: line %d of %s was not damaged, and is lost", d, line, std)
			}
		}
		if n.Twice > 0 || n.Disorder > 0 {
			t.Errorf("%s: of %s, %d lines came twice and %d out of order", d, std, n.Twice, n.Disorder)
		}
	}
	n := counts.Counts
	if n.SkippedBytes > most || n.SkippedBytes > 0 && missing == 0 || d.cut >= 0 && (n.SkippedBytes > 0) != d.midst() {
		t.Errorf("%s: %d bytes were skipped, where %d are of damaged frames and %d lines are missing", d, n.SkippedBytes, most,
			missing)
	}
	balances(t, "of "+d.name, n.ReadRecords, n.SentRecords, n.QueuedRecords, n.DroppedRecords, n.RefusedRecords)
	balances(t, "in bytes of "+d.name, n.ReadBytes, n.SentBytes, n.QueuedBytes, n.DroppedBytes, n.RefusedBytes)
}

// midst says that a frame was cut in two.
func (d *torn) midst() bool {
	for _, s := range d.spans {
		if s.from < d.cut && d.cut < s.to {
			return true
		}
	}
	return false
}

func (d *torn) String() string {
	if d.cut >= 0 {
		return fmt.Sprintf("%s, cut at %d", d.name, d.cut)
	}
	return fmt.Sprintf("%s, bits %v flipped", d.name, d.flips)
}

// Every prefix of a segment, and random bits of it flipped: only damaged lines are lost, the bytes are counted, and what
// was written behind the damage arrives.
func TestTornSegments(t *testing.T) {
	const flipped = 300
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))

	e := engine.New(t)
	backend := sink.New(t, sink.Down)
	p := e.NewPlugin(t, append(backend.Settings(), "REMORA_PARTIAL_TIMEOUT=1s")...)
	wire := engine.NewWire(t, p)
	var all []*torn
	prefixes := len(newTorn(0).frames)
	for i := range prefixes + flipped {
		d := newTorn(i)
		d.stream = wire.Start(t, fmt.Sprintf("%012x%052x", i+1, 0), nil)
		if err := d.stream.WriteFrames(d.frames); err != nil {
			t.Fatal(err)
		}
		if i < prefixes {
			d.cut = i
		} else {
			for range 1 + random.IntN(3) {
				d.flips = append(d.flips, random.IntN(8*len(d.frames)))
			}
		}
		all = append(all, d)
	}

	p.Disable(t, false) // it drains all FIFOs
	for _, d := range all {
		d.damage(t, p)
		if err := d.stream.WriteFrames(d.goOn()); err != nil {
			t.Fatal(err)
		}
	}
	backend.Be(t, sink.Healthy)
	p.Enable(t)

	byContainer := make(map[any]*torn, len(all)) // not by what the lines say: that may be damaged
	for _, d := range all {
		byContainer[d.stream.ID] = d
	}
	log := verify.Open(backend.Path)
	log.Each = func(t testing.TB, r *verify.Record) { byContainer[r.Members(t)["container_id"]].take(r) }
	engine.Eventually(t, time.Minute, func() (bool, string) {
		log.Read(t)
		waiting := 0
		for _, d := range all {
			if !d.arrived["stdout"].Has(len(d.lines["stdout"])-1) || !d.arrived["stderr"].Has(len(d.lines["stderr"])-1) {
				waiting++
			}
		}
		left := snapshot(t, p).Total.QueuedRecords
		return waiting == 0 && left == 0, fmt.Sprintf("what %d of %d containers wrote last has not arrived, %d records are queued",
			waiting, len(all), left)
	})
	time.Sleep(2 * time.Second) // what is in pieces whose last one is damaged comes after the time-out
	log.Read(t)
	status := map[string]telemetry.Log{}
	for _, l := range snapshot(t, p).Logs {
		status[l.Container] = l
	}
	var skipped int64
	for _, d := range all {
		l, ok := status["sim-"+d.stream.ID[:12]]
		if !ok {
			t.Fatalf("%s is not in the status", d)
		}
		d.judge(t, l)
		skipped += l.Counts.SkippedBytes
	}
	t.Logf("%d prefixes and %d streams with flipped bits: %d bytes were skipped", prefixes, flipped, skipped)
}
