// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"github.com/docker/go-plugins-helpers/sdk"

	"github.com/remora-logs/remora/shared/notice"
)

// Socket is where the engine looks for the plugin, as config.json says.
const Socket = "/run/docker/plugins/remora.sock"

// manifest is the answer to Plugin.Activate.
const manifest = `{"Implements": ["LogDriver"]}`

// Logs implements the endpoints.
type Logs interface {
	// Start begins to collect what is written into the FIFO file. It returns once a restarted process would resume it, without
	// waiting for the network or for delivery. It refuses a container only if nothing of it could be collected.
	Start(file string, info Info) error
	// Stop drains the FIFO to its end, within a bound. It reports no error, not even for an unknown file: after one, the engine
	// would regard the plugin as in use for ever.
	Stop(file string)
	// Read writes the container's log to w as frames, until the log ends, ctx ends, or a write fails.
	Read(ctx context.Context, info Info, c ReadConfig, w io.Writer) error
}

// Listen opens the plugin's socket. It replaces a socket that exists: the path lies in the plugin's own root file system, so
// that only an earlier process can have left it. A few connections are accepted even if the process has no descriptor left.
func Listen(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	return newSparing(l), nil
}

// Handler returns the handler of the endpoints. readLogs is whether the plugin serves docker logs.
func Handler(logs Logs, readLogs bool, log *slog.Logger) sdk.Handler {
	e := endpoints{logs: logs, readLogs: readLogs, log: log}
	h := sdk.NewHandler(manifest)
	h.HandleFunc("/LogDriver.StartLogging", e.start)
	h.HandleFunc("/LogDriver.StopLogging", e.stop)
	h.HandleFunc("/LogDriver.Capabilities", e.capabilities)
	h.HandleFunc("/LogDriver.ReadLogs", e.read)
	return h
}

type endpoints struct {
	logs     Logs
	readLogs bool
	log      *slog.Logger
}

func (e *endpoints) start(w http.ResponseWriter, r *http.Request) {
	var req startRequest
	err := decode(r, &req)
	if err == nil && req.File == "" {
		err = errors.New("no file was given")
	}
	if err == nil {
		err = e.logs.Start(req.File, req.Info)
	}
	if err != nil {
		err = fmt.Errorf("remora: can't collect the log of container %s: %w", req.Info.ContainerID, err)
		notice.StartLoggingFailed.Log(e.log, "error", err)
		err = fmt.Errorf("%w (%s)", err, notice.StartLoggingFailed.Code) // docker run shows it
	}
	answer(w, err)
}

// stop answers without an error even if the request is malformed.
func (e *endpoints) stop(w http.ResponseWriter, r *http.Request) {
	var req stopRequest
	if err := decode(r, &req); err != nil {
		notice.StopLoggingUnreadable.Log(e.log, "error", err)
	} else {
		e.logs.Stop(req.File)
	}
	answer(w, nil)
}

func (e *endpoints) capabilities(w http.ResponseWriter, _ *http.Request) {
	var c capabilities
	c.Cap.ReadLogs = e.readLogs
	sdk.EncodeResponse(w, c, false)
}

func (e *endpoints) read(w http.ResponseWriter, r *http.Request) {
	var req readRequest
	if err := decode(r, &req); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if !e.readLogs {
		http.Error(w, "READ_LOGS is not set", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", sdk.DefaultContentTypeV1_1)
	out := flushing{w, http.NewResponseController(w)}
	out.Flush()
	if err := e.logs.Read(r.Context(), req.Info, req.Config, out); err != nil && r.Context().Err() == nil {
		notice.DockerLogsEnded.Log(e.log, "container", req.Info.ContainerID, "error", err)
	}
}

// flushing flushes after each write, so that docker logs -f shows lines at once.
type flushing struct {
	w       io.Writer
	control *http.ResponseController
}

func (f flushing) Write(p []byte) (int, error) {
	n, err := f.w.Write(p)
	if err == nil {
		err = f.control.Flush()
	}
	return n, err
}

func (f flushing) Flush() { _ = f.control.Flush() } // an error shows with the first write

// decode decodes a request. Its error never quotes the request, which contains the container's environment.
func decode(r *http.Request, v any) error {
	if err := json.NewDecoder(r.Body).Decode(v); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return fmt.Errorf("request is no JSON, at byte %d", syntax.Offset)
		}
		var typ *json.UnmarshalTypeError
		if errors.As(err, &typ) {
			return fmt.Errorf("request's %s is not a %s", typ.Field, typ.Type)
		}
		return errors.New("request is cut short")
	}
	return nil
}

func answer(w http.ResponseWriter, err error) {
	var res response
	if err != nil {
		res.Err = err.Error()
	}
	sdk.EncodeResponse(w, res, false)
}
