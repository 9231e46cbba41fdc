// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
)

// Image is one that is built from scratch: a layer of files, and what to run.
type Image struct {
	// Name is its full name, docker.io/library/ included.
	Name  string
	Files []File
	// User is as in a Dockerfile; empty for root.
	User       string
	Entrypoint []string
}

// File is a file of an image, or a directory where it has no source.
type File struct {
	// Path is that in the image, without the slash before it.
	Path string
	// Source is a file of the machine's.
	Source string
	Mode   int64
	Owner  int
}

// Pause is the image that the node can't do without, with the program at path.
func Pause(path string) Image {
	return Image{Name: pauseImage, Files: []File{{Path: "pause", Source: path, Mode: 0o755}}, Entrypoint: []string{"/pause"}}
}

// Import gives the image to the node.
func (c *Cluster) Import(image Image) error {
	archive, err := image.archive()
	if err != nil {
		return fmt.Errorf("image %s: %w", image.Name, err)
	}
	path, err := c.write("image.tar", string(archive))
	if err != nil {
		return err
	}
	defer os.Remove(path)
	_, err = output(c.ctr("images", "import", path))
	return err
}

// archive is the image as `docker save` writes it: the layer, the configuration, and a manifest that names them. See
// https://github.com/moby/docker-image-spec/blob/main/v1.2.md.
func (image Image) archive() ([]byte, error) {
	layer, err := image.layer()
	if err != nil {
		return nil, err
	}
	config, err := json.Marshal(map[string]any{
		"os": "linux", "architecture": runtime.GOARCH,
		"config": map[string]any{"User": image.User, "Entrypoint": image.Entrypoint},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{fmt.Sprintf("sha256:%x", sha256.Sum256(layer))}},
	})
	if err != nil {
		return nil, err
	}
	manifest, err := json.Marshal([]map[string]any{{
		"Config": "config.json", "RepoTags": []string{image.Name}, "Layers": []string{"layer.tar"},
	}})
	if err != nil {
		return nil, err
	}
	var all bytes.Buffer
	w := tar.NewWriter(&all)
	for _, f := range []struct {
		name    string
		content []byte
	}{{"layer.tar", layer}, {"config.json", config}, {"manifest.json", manifest}} {
		if err := add(w, tar.Header{Name: f.name, Mode: 0o644}, f.content); err != nil {
			return nil, err
		}
	}
	return all.Bytes(), w.Close()
}

func (image Image) layer() ([]byte, error) {
	var all bytes.Buffer
	w := tar.NewWriter(&all)
	for _, f := range image.Files {
		header := tar.Header{Name: f.Path, Mode: f.Mode, Uid: f.Owner, Gid: f.Owner}
		var content []byte
		if f.Source == "" {
			header.Typeflag = tar.TypeDir
		} else {
			var err error
			if content, err = os.ReadFile(f.Source); err != nil {
				return nil, err
			}
		}
		if err := add(w, header, content); err != nil {
			return nil, err
		}
	}
	return all.Bytes(), w.Close()
}

func add(w *tar.Writer, header tar.Header, content []byte) error {
	header.Size = int64(len(content))
	if err := w.WriteHeader(&header); err != nil {
		return err
	}
	_, err := w.Write(content)
	return err
}
