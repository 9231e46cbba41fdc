// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/remora-logs/remora/shared/checkup"
	"github.com/remora-logs/remora/shared/command"
	"github.com/remora-logs/remora/shared/config"
	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/notice"
	"github.com/remora-logs/remora/shared/output/registry"
	"github.com/remora-logs/remora/shared/output/settings"
	"github.com/remora-logs/remora/shared/pipeline"
	"github.com/remora-logs/remora/shared/statedir"
	"github.com/remora-logs/remora/shared/telemetry"
)

// CheckCommand is the subcommand that checks what a process with the same settings needs before it is started: settings,
// files, rights, disk, sockets and outputs. It changes nothing, and sends nothing that a backend keeps.
type CheckCommand struct {
	JSON bool `help:"Print JSON."`

	Settings func() []settings.Section `kong:"-"`
	// Parts are empty structs of the way in's settings; the first names the outputs.
	Parts []any `kong:"-"`
	// Disk returns the state directory and how many bytes below it the settings allow.
	Disk func() (dir string, limit int64) `kong:"-"`
	// More, if not nil, checks what only this way in needs.
	More func(ctx context.Context, environ map[string]string) []checkup.Item `kong:"-"`
}

// Run is called by kong. Its error exits with command.ExitUsage if settings are wrong, and with command.ExitFailure if only
// other checks failed.
func (c *CheckCommand) Run(k *kong.Context) error {
	ctx, stop := command.Signals()
	defer stop()
	items, wrong := c.items(ctx, config.Environ())
	failed, err := checkup.Write(k.Stdout, items, c.JSON)
	switch {
	case err != nil:
		return err
	case wrong:
		return command.WithCode(notice.ChecksFailed.Error(fmt.Errorf("%d of %d checks failed, settings among them", failed, len(items))), command.ExitUsage)
	case failed > 0:
		return notice.ChecksFailed.Error(fmt.Errorf("%d of %d checks failed", failed, len(items)))
	}
	return nil
}

// items performs the checks. wrong reports whether settings are wrong.
func (c *CheckCommand) items(ctx context.Context, environ map[string]string) (items []checkup.Item, wrong bool) {
	var common config.Common
	var batching pipeline.Config
	all := append([]any{&common, &batching}, c.Parts...)
	err := LoadValid(environ, all...)
	for _, e := range flatten(err) {
		items = append(items, checkup.Bad("settings", e, "Correct it; --help lists every setting."))
	}
	if err == nil {
		items = append(items, checkup.Good("settings", "all values are valid"))
	}
	for _, u := range config.Unknown(environ, c.Settings()) {
		do := "Remove it if nothing was meant."
		if u.Near != "" {
			do = "Did you mean " + u.Near + "?"
		}
		items = append(items, checkup.Odd("settings", "there is no setting "+u.Name, do))
	}
	dir, limit := c.Disk()
	items = append(items, stateItem(dir, limit))
	if common.Listen != "" {
		items = append(items, listenItem(ctx, &config.Status{Listen: common.Listen, StateDir: dir}))
	}
	if c.More != nil {
		items = append(items, c.More(ctx, environ)...)
	}
	return append(items, outputItems(ctx, environ, c.Parts[0])...), err != nil
}

// flatten returns the errors that err joins.
func flatten(err error) []error {
	if err == nil {
		return nil
	}
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) {
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, flatten(e)...)
	}
	return all
}

func stateItem(dir string, limit int64) checkup.Item {
	item := checkup.Directory("state directory", dir, limit)
	if _, err := os.Stat(dir); item.Result == checkup.Failed || errors.Is(err, fs.ErrNotExist) {
		return item
	}
	lock, err := statedir.Acquire(dir)
	var busy *statedir.InUseError
	switch {
	case errors.As(err, &busy):
		item.Saw += "; a process uses it, as it should if Remora runs"
	case err != nil:
		return checkup.Bad(item.About, err, "Correct its rights.")
	default:
		_ = lock.Release() // it was free a moment ago
	}
	return item
}

// listenItem checks that the address can be listened on, or that a Remora answers there.
func listenItem(ctx context.Context, at *config.Status) checkup.Item {
	network, address := at.ListenAddress()
	about := "REMORA_LISTEN " + at.Listen
	if network == "unix" {
		return checkup.Good(about, "is a socket, which is made at the start")
	}
	l, err := net.Listen(network, address)
	if err == nil {
		_ = l.Close()
		return checkup.Good(about, "can be listened on")
	}
	ctx, stop := context.WithTimeout(ctx, 2*time.Second)
	defer stop()
	if _, asked := telemetry.Fetch(ctx, "/healthz", telemetry.Address{Network: network, Address: address}); asked == nil {
		return checkup.Good(about, "a running Remora answers")
	}
	return checkup.Bad(about, err, "Choose an address of this machine that nothing else listens on.")
}

// outputItems tries every output, as explain --check-outputs does.
func outputItems(ctx context.Context, environ map[string]string, part any) (items []checkup.Item) {
	outputs, err := catalog(environ)
	if err != nil {
		return nil // the check of the settings has reported it
	}
	names := part.(interface{ OutputNames() []string }).OutputNames()
	known := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !slices.Contains(outputs.Names(), name) })
	for _, checked := range outputs.Check(ctx, append(known, outputs.Unused(known)...)) {
		items = append(items, outputItem(checked))
	}
	return items
}

func outputItem(c registry.Checked) checkup.Item {
	about := "output " + c.Output
	if c.Kind != c.Output {
		about += " (" + c.Kind + ")"
	}
	if c.OK {
		return checkup.Good(about, c.Saw)
	}
	return checkup.Bad(about, errors.New(strings.TrimPrefix(c.Error, "output "+c.Output+": ")),
		"Correct what the message names, or make the backend reachable from here.")
}

// DeclarationItems returns the results for the declarations of a file or Pod. named is the number of valid ones.
func DeclarationItems(about string, named int, wrong, odd []declare.Problem) []checkup.Item {
	items := []checkup.Item{checkup.Good(about, fmt.Sprintf("%d are valid", named))}
	for _, p := range wrong {
		items = append(items, checkup.Bad(p.Key, errors.New(p.Message), "Correct it; explain shows the result."))
	}
	for _, p := range odd {
		items = append(items, checkup.Odd(p.Key, p.Message, ""))
	}
	return items
}

// dialectOf returns the dialect of a process with these settings.
func dialectOf(environ map[string]string, common *config.Common) *declare.Dialect {
	return declare.New(common.Prefix, OutputNames(environ)...).WithVariables(Protected(), common.TagsFrom)
}

// ReadDeclarations returns what the sources declare for a process with these variables.
func ReadDeclarations(environ map[string]string, sources declare.Sources) (set declare.Set) {
	var common config.Common
	_ = config.LoadValid(environ, &common) // what is wrong is among the settings
	once, stop := context.WithCancel(context.Background())
	dialectOf(environ, &common).Watch(once, sources, func(s declare.Set) { set = s; stop() })
	return set
}

// ReadRules returns how many rules the file at path has, and the problems with them.
func ReadRules(environ map[string]string, path string) (rules int, wrong []declare.Problem) {
	var common config.Common
	_ = config.LoadValid(environ, &common) // what is wrong is among the settings
	once, stop := context.WithCancel(context.Background())
	dialectOf(environ, &common).WatchRules(once, path, func(all []*declare.Rule, problems []declare.Problem) {
		rules, wrong = len(all), problems
		stop()
	})
	return rules, wrong
}
