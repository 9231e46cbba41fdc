// SPDX-License-Identifier: Apache-2.0

// Package file is the output that appends records to files in a directory, and rotates them by size.
package file

import (
	"fmt"
	"io/fs"
	"strconv"

	"github.com/remora-logs/remora/shared/output/internal/line"
)

// Config is what can be set. The names are log-pilot's where it had them.
type Config struct {
	Path        string      `env:"FILE_PATH" doc:"directory that the files are written in; created where it is missing"`
	Name        string      `env:"FILE_NAME" envDefault:"{target}.log" doc:"name of the file below FILE_PATH, subdirectories included; {target}, {declaration} and {any tag} stand for the record's"`
	RotateSize  int64       `env:"FILE_ROTATE_SIZE" envDefault:"10240" doc:"size in KB at which a file is rotated to NAME.1"`
	Files       int         `env:"FILE_NUMBER_OF_FILES" envDefault:"7" doc:"how many files are kept of each name, the one being written included; 2 to 1024"`
	Permissions string      `env:"FILE_PERMISSIONS" envDefault:"0600" doc:"permissions of the files, octal"`
	Format      line.Format `env:"FILE_FORMAT" envDefault:"json" doc:"json or raw, as CONSOLE_FORMAT"`
	Compress    string      `env:"FILE_COMPRESS" envDefault:"none" doc:"gzip compresses rotated files; none leaves them"`
	Sync        bool        `env:"FILE_SYNC" envDefault:"true" doc:"acknowledge a batch only when it is on the disk (fdatasync); false acknowledges what the kernel has, which survives the death of Remora but not that of the machine"`
}

// Check reports values that can't be worked with.
func (c *Config) Check() error {
	switch {
	case c.Path == "":
		return fmt.Errorf("FILE_PATH is not set; the output file needs a directory")
	case c.RotateSize < 1:
		return fmt.Errorf("FILE_ROTATE_SIZE is %d; it must be at least 1 (KB)", c.RotateSize)
	case c.Files < 2 || c.Files > 1024:
		return fmt.Errorf("FILE_NUMBER_OF_FILES is %d; it must be 2 to 1024", c.Files)
	case c.Compress != "none" && c.Compress != "gzip":
		return fmt.Errorf("FILE_COMPRESS is %q; it must be none or gzip", c.Compress)
	}
	if _, err := c.permissions(); err != nil {
		return err
	}
	if _, err := parsePattern(c.Name); err != nil {
		return fmt.Errorf("FILE_NAME is %q: %w", c.Name, err)
	}
	return c.Format.Check("FILE_FORMAT")
}

func (c *Config) permissions() (fs.FileMode, error) {
	bits, err := strconv.ParseUint(c.Permissions, 8, 32)
	if err != nil || bits > 0o777 || bits&0o600 != 0o600 {
		return 0, fmt.Errorf("FILE_PERMISSIONS is %q; it must be octal, as 0600, and let the owner read and write", c.Permissions)
	}
	return fs.FileMode(bits), nil
}
