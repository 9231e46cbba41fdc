// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/remora-logs/remora/shared/escape"
	"github.com/remora-logs/remora/shared/notice"
)

// Address is a network and an address, as for net.Dial, at which a process may serve its status.
type Address struct{ Network, Address string }

// Command is the subcommand that shows a running Remora's status.
type Command struct {
	Output string `short:"o" enum:"table,json" default:"table" help:"Form of what is printed: table, or json as /status serves it (docs/monitoring.md describes it)."`
	Again  bool   `name:"watch" short:"w" help:"Show it again and again, as top does."`
	JSON   bool   `hidden:"" help:"The same as --output json."`
}

// Run prints the status of the first address that answers.
func (c *Command) Run(ctx context.Context, w io.Writer, addresses ...Address) error {
	if c.Again {
		return watchStatus(ctx, w, addresses)
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	if c.JSON || c.Output == "json" {
		body, err := Fetch(ctx, "/status", addresses...)
		if err != nil {
			return err
		}
		_, err = w.Write(escape.JSON(body))
		return err
	}
	s, err := Ask(ctx, addresses...)
	if err != nil {
		return err
	}
	return s.Print(w)
}

// askTime bounds how long a running process may take to answer.
const askTime = 10 * time.Second

// Ask returns the status of the first address that answers.
func Ask(ctx context.Context, addresses ...Address) (*Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	body, err := Fetch(ctx, "/status", addresses...)
	if err != nil {
		return nil, err
	}
	s := new(Snapshot)
	if err := json.Unmarshal(body, s); err != nil {
		return nil, fmt.Errorf("status of the running Remora: %w", err)
	}
	return s, nil
}

// maxAnswer bounds an answer. Five thousand logs need a few MiB.
const maxAnswer = 64 << 20

// Fetch returns the answer at path of the first address that answers. If none does, the error gives the reason for each.
func Fetch(ctx context.Context, path string, addresses ...Address) ([]byte, error) {
	failed := []error{notice.NobodyAnswers.Error(errors.New("no running Remora answers"))}
	for _, a := range addresses {
		body, err := a.fetch(ctx, path)
		if err == nil {
			return body, nil
		}
		failed = append(failed, fmt.Errorf("%s %s: %w", a.Network, a.Address, reason(err)))
	}
	return nil, errors.Join(failed...)
}

func (a Address) fetch(ctx context.Context, path string) ([]byte, error) {
	body, err := a.open(ctx, path)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(io.LimitReader(body, maxAnswer))
}

// Open returns the answer at path of the first address that answers, as a stream. The caller must close it.
func Open(ctx context.Context, path string, addresses ...Address) (io.ReadCloser, error) {
	failed := []error{notice.NobodyAnswers.Error(errors.New("no running Remora answers"))}
	for _, a := range addresses {
		body, err := a.open(ctx, path)
		if err == nil {
			return body, nil
		}
		failed = append(failed, fmt.Errorf("%s %s: %w", a.Network, a.Address, reason(err)))
	}
	return nil, errors.Join(failed...)
}

func (a Address) open(ctx context.Context, path string) (io.ReadCloser, error) {
	address := a.Address
	if a.Network == "unix" {
		var done func()
		address, done = short(address)
		defer done()
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, a.Network, address)
	}}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK && path != "/readyz" {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1000)) // the status says enough
		_ = resp.Body.Close()
		return nil, fmt.Errorf("it answers %s: %s", resp.Status, escape.Text(strings.TrimSpace(string(text))))
	}
	return resp.Body, nil
}

// reason explains an error of connecting.
func reason(err error) error {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return errors.New("nobody listens there: the process that made it has ended")
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("there is no such socket: Remora does not run, or with another REMORA_STATE_DIR or REMORA_LISTEN")
	case errors.Is(err, fs.ErrPermission):
		return errors.New("permission denied: run this as the user that Remora runs as")
	}
	return err
}
