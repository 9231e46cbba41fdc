// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/remora-logs/remora/tools/release/licences"
)

// images writes each image for all architectures, as an archive of an OCI layout. A suffix says in whose stead the image
// starts: log-pilot's image for Filebeat, or the one for Fluentd.
func (r *release) images() error {
	for _, image := range []struct{ name, context string }{{"node", "image-node"}, {"sidecar", "image"}} {
		for _, pilot := range []string{"", "filebeat", "fluentd"} {
			name := "remora-" + image.name
			tag := r.version
			if pilot != "" {
				tag += "-" + pilot
			}
			index, err := r.index(image.name, image.context, pilot)
			if err != nil {
				return fmt.Errorf("image %s:%s: %w", name, tag, err)
			}
			if err := r.writeLayout(index, tag, name+"-"+tag+".oci.tar"); err != nil {
				return fmt.Errorf("image %s:%s: %w", name, tag, err)
			}
		}
	}
	return nil
}

// index returns one image for all architectures.
func (r *release) index(name, context, pilot string) (v1.ImageIndex, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, arch := range licences.Platforms {
		image, err := r.image(arch, name, context, pilot)
		if err != nil {
			return nil, err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        image,
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}},
		})
	}
	return index, nil
}

func (r *release) image(arch, name, context, pilot string) (v1.Image, error) {
	text, err := os.ReadFile(filepath.Join(r.source(arch), "deploy", "docker", name+".Dockerfile"))
	if err != nil {
		return nil, err
	}
	recipe, err := readDockerfile(string(text), r.bin(arch, context), map[string]string{"PILOT_TYPE": pilot})
	if err != nil {
		return nil, err
	}
	layer, err := r.layer(recipe.files)
	if err != nil {
		return nil, err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err = mutate.Append(image, mutate.Addendum{
		Layer:   layer,
		History: v1.History{Created: v1.Time{Time: r.epoch}, CreatedBy: name + ".Dockerfile"},
	})
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created, config.Config = "linux", arch, v1.Time{Time: r.epoch}, recipe.config
	config.Config.Labels = map[string]string{
		"org.opencontainers.image.title":    "remora-" + name,
		"org.opencontainers.image.version":  r.version,
		"org.opencontainers.image.source":   "https://github.com/remora-logs/remora",
		"org.opencontainers.image.licenses": "Apache-2.0",
	}
	return mutate.ConfigFile(image, config)
}

// layer returns files as a layer. Those of images that differ in their configuration alone are compressed once.
func (r *release) layer(files tree) (v1.Layer, error) {
	content, err := files.tar(r.epoch)
	if err != nil {
		return nil, err
	}
	key := sha256.Sum256(content)
	if layer, ok := r.layers[key]; ok {
		return layer, nil
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content)), nil
	}, tarball.WithCompressionLevel(gzip.BestCompression), tarball.WithCompressedCaching, tarball.WithMediaType(types.OCILayer))
	if err == nil {
		r.layers[key] = layer
	}
	return layer, err
}

// writeLayout writes a layout with one entry, the index, under the tag, as programs that copy images expect it.
func (r *release) writeLayout(index v1.ImageIndex, tag, name string) error {
	dir := filepath.Join(r.work, name)
	to, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	if err := to.AppendIndex(index, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": tag})); err != nil {
		return err
	}
	files := make(tree)
	if err := files.add(dir, ".", 0, 0); err != nil {
		return err
	}
	text, err := files.tar(r.epoch)
	if err != nil {
		return err
	}
	return os.WriteFile(r.file(name), text, 0o644)
}
