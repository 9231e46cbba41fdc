// SPDX-License-Identifier: Apache-2.0

package web

import (
	"cmp"
	"net/http"
	"slices"
	"time"

	"github.com/remora-logs/remora/shared/pipeline"
	"github.com/remora-logs/remora/shared/telemetry"
)

// overview is the answer of /api/overview. It is internal to the page and may change with it; other clients use /status.
type overview struct {
	Version  string              `json:"version"`
	Started  time.Time           `json:"started"`
	Now      time.Time           `json:"now"`
	Ready    bool                `json:"ready"`
	Stalled  string              `json:"stalled,omitempty"`
	Token    bool                `json:"token"` // the client has a session cookie and can log out
	Faults   []telemetry.Fault   `json:"faults"`
	Total    pipeline.Counts     `json:"total"`
	Outputs  []output            `json:"outputs"`
	Rows     []row               `json:"rows"`
	Problems []telemetry.Problem `json:"problems"`
}

type output struct {
	Name  string     `json:"name"`
	Error string     `json:"error,omitempty"`
	Since *time.Time `json:"since,omitempty"`
}

// row is a telemetry.Row without its advice, which the page has in the user's language.
type row struct {
	Container   string          `json:"c"`
	Declaration string          `json:"d"`
	Output      string          `json:"o"`
	State       telemetry.State `json:"state"`
	Reason      string          `json:"reason,omitempty"`
	Code        string          `json:"code,omitempty"`
	Since       *time.Time      `json:"since,omitempty"`
	Read        int64           `json:"read"`
	Sent        int64           `json:"sent"`
	Queued      int64           `json:"queued"`
	Dropped     int64           `json:"dropped"`
	Refused     int64           `json:"refused"`
	Parked      int64           `json:"parked"`
	LagBytes    int64           `json:"lagb"`
	LagSeconds  float64         `json:"lags"`
	Error       string          `json:"error,omitempty"`
	ErrorSince  *time.Time      `json:"at,omitempty"`
	Sources     []string        `json:"src,omitempty"`
	Target      string          `json:"target,omitempty"`
}

func rowOf(r *telemetry.Row) row {
	c := &r.Counts
	return row{r.Container, r.Declaration, r.Output, r.State, r.Reason, r.Code, r.Since, c.ReadRecords, c.SentRecords, c.QueuedRecords,
		c.DroppedRecords, c.RefusedRecords, c.ParkedRecords, r.LagBytes, r.LagSeconds, r.Error, r.ErrorSince, r.Sources, r.Target}
}

// maxProblems bounds the problems in one answer.
const maxProblems = 1000

func (p *Page) overview(w http.ResponseWriter, r *http.Request) {
	s, _ := p.options.Full()
	_, err := r.Cookie(cookieName(r.TLS != nil))
	o := overview{Version: s.Version, Started: s.Started, Now: s.Now, Ready: s.Ready, Stalled: s.Stalled, Token: err == nil,
		Faults: s.Faults, Total: s.Total, Rows: make([]row, len(s.Rows)), Problems: s.Problems[:min(len(s.Problems), maxProblems)]}
	for i := range s.Outputs {
		o.Outputs = append(o.Outputs, output{s.Outputs[i].Name, s.Outputs[i].Error, s.Outputs[i].Since})
	}
	for i := range s.Rows {
		o.Rows[i] = rowOf(&s.Rows[i])
	}
	writeJSON(w, &o)
}

// rates answers with the counts of the last hour for each row that has read records.
func (p *Page) rates(w http.ResponseWriter, _ *http.Request) { writeJSON(w, p.options.Rates.Hour()) }

// details is the answer of /api/container.
type details struct {
	Container    string                  `json:"container"`
	Now          time.Time               `json:"now"`
	Declarations []telemetry.Declaration `json:"declarations"`
	Rows         []row                   `json:"rows"`
	Files        []telemetry.File        `json:"files"`
	Omitted      int                     `json:"omitted"` // files beyond maxFiles
	Problems     []telemetry.Problem     `json:"problems"`
}

// maxFiles bounds the files in one answer.
const maxFiles = 1000

func (p *Page) container(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("name")
	s, declared := p.options.Full()
	d := details{Container: name, Now: s.Now, Declarations: []telemetry.Declaration{}, Rows: []row{}, Files: []telemetry.File{}, Problems: []telemetry.Problem{}}
	for i := range s.Rows {
		if s.Rows[i].Container == name {
			d.Rows = append(d.Rows, rowOf(&s.Rows[i]))
		}
	}
	for _, of := range declared {
		if of.Container == name {
			d.Declarations = append(d.Declarations, of)
			d.Files = append(d.Files, of.Found...)
		}
	}
	for _, of := range s.Problems {
		if of.Container == name && len(d.Problems) < maxProblems {
			d.Problems = append(d.Problems, of)
		}
	}
	d.Files = append(d.Files, s.Streams(name, d.Files)...)
	slices.SortFunc(d.Files, func(a, b telemetry.File) int {
		return cmp.Or(cmp.Compare(a.Declaration, b.Declaration), cmp.Compare(a.Path, b.Path))
	})
	if n := len(d.Files) - maxFiles; n > 0 {
		d.Files, d.Omitted = d.Files[:maxFiles], n
	}
	if len(d.Rows)+len(d.Declarations)+len(d.Problems) == 0 {
		http.Error(w, "there is no such container", http.StatusNotFound)
		return
	}
	writeJSON(w, &d)
}
