// SPDX-License-Identifier: Apache-2.0

// Package file is the output that appends records to files in a directory, and rotates them by size.
package file

import (
	"fmt"
	"io/fs"
	"strconv"
	"time"

	"github.com/remora-logs/remora/shared/output/internal/line"
)

// Config holds the output's settings. The names are log-pilot's where it had them.
type Config struct {
	Path        string      `env:"FILE_PATH" doc:"Directory of the files; created if it is missing"`
	Name        string      `env:"FILE_NAME" envDefault:"{target}.log" doc:"Name of the file below FILE_PATH; may contain subdirectories. {target}, {declaration} and {TAG} stand for the record's values, none where it has no such tag, and a date of yyyy, MM, dd, HH, or YYYY and ww for weeks, such as {yyyy.MM.dd}, for its time"`
	Zone        string      `env:"FILE_TIME_ZONE" envDefault:"UTC" doc:"Time zone of the dates in FILE_NAME, such as Asia/Shanghai, or Local"`
	RotateSize  int64       `env:"FILE_ROTATE_SIZE" envDefault:"10240" doc:"Size in KB at which a file is rotated to NAME.1"`
	Files       int         `env:"FILE_NUMBER_OF_FILES" envDefault:"7" doc:"Number of files to keep of each name, including the one being written; 2 to 1024"`
	Permissions string      `env:"FILE_PERMISSIONS" envDefault:"0600" doc:"Permissions of the files, octal"`
	Format      line.Format `env:"FILE_FORMAT" envDefault:"json" doc:"json writes each record as a JSON object on a line; raw writes the line as the application wrote it"`
	Compress    string      `env:"FILE_COMPRESS" envDefault:"none" doc:"Compression of rotated files: gzip or none"`
	Sync        bool        `env:"FILE_SYNC" envDefault:"true" doc:"Acknowledge a batch only when it is on disk (fdatasync). false acknowledges what the kernel has, which survives a crash of Remora but not of the machine"`
}

// Check reports invalid values.
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
	zone, err := time.LoadLocation(c.Zone)
	if err != nil {
		return fmt.Errorf("FILE_TIME_ZONE: %w", err)
	}
	if _, err := parsePattern(c.Name, zone); err != nil {
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
