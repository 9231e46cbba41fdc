// SPDX-License-Identifier: Apache-2.0

package command

import (
	"fmt"
	"text/tabwriter"

	"github.com/alecthomas/kong"

	"github.com/remora-logs/remora/shared/output/settings"
)

// help returns a printer of a program's help. For the program itself and its command run, the table of settings follows. It
// cannot be part of kong's description, which kong wraps into paragraphs.
func help(sections func() []settings.Section) kong.HelpPrinter {
	return func(options kong.HelpOptions, ctx *kong.Context) error {
		err := kong.DefaultHelpPrinter(options, ctx)
		if chosen := ctx.Selected(); err != nil || sections == nil || chosen != nil && chosen.Name != "run" {
			return err
		}
		t := tabwriter.NewWriter(ctx.Stdout, 0, 0, 2, ' ', 0)
		for _, section := range sections() {
			fmt.Fprintf(t, "\n%s:\n", section.Title)
			for _, s := range section.Settings {
				name := s.Name
				if s.Secret {
					name += "[_FILE]"
				}
				fmt.Fprintf(t, "  %s\t%s\t%s\n", name, s.Default, s.Doc)
			}
		}
		return t.Flush()
	}
}
